/** `node scripts/run.mjs build/test/kvm/bed/build-main.js [--update]`: makes the bed. */
import process from 'node:process';
import { buildBed } from './build.ts';

const files = buildBed({
  update: process.argv.includes('--update'),
  say: (line) => void process.stdout.write(`bed: ${line}\n`),
});
process.stdout.write(`bed: the files are there: ${Object.values(files).join(' ')}\n`);
