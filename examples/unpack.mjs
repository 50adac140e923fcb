/// <reference types="ptmon/script" />
// Keeps what a program unpacks: each page that becomes executable after the program could write to it.
// ptmon script examples/unpack.mjs -- PROGRAM|PID FOLDER
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const [program = 'workload', folder = 'unpacked'] = args;
await mkdir(folder, { recursive: true });
const target = await guest.process(program);

/** Pages that can be run, and to which nothing has been written yet. */
const empty = new Map();
const watch = await target.watch('anon', { kinds: ['protection'] });
console.log(`${target} is watched; what it unpacks goes to ${folder}`);
for await (const { kind, va, map } of watch) {
  // The guest is stopped: this is what it is about to run.
  if (kind === 'page-out') empty.delete(va);
  if (kind === 'page-in' || kind === 'protection') {
    const { translates, rights } = await target.walk(va);
    if (translates && !rights.noExecute) empty.set(va, map);
  }
  for (const [page, name] of empty) {
    const bytes = Buffer.from(await target.read(page, 4096));
    if (bytes.every((byte) => byte === 0)) continue;
    empty.delete(page);
    await writeFile(join(folder, `${page.toString(16)}.bin`), bytes);
    console.log(`${page.toString(16)}  ${name}  ${bytes.subarray(0, 16).toString('hex')}`);
  }
}
