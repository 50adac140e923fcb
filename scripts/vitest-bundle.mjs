/** Makes the bundle before the tests if it is out of date: some of them start the built command. */
import { isBundleStale, makeBundle } from './bundle.mjs';

export default async function setup() {
  if (isBundleStale()) await makeBundle();
}
