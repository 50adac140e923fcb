/** Builds the command before the tests if it is out of date: some of them start it. */
import { isBundleStale } from './bundle.mjs';
import { build } from './prepare.mjs';

export default async function setup() {
  if (isBundleStale()) await build('src');
}
