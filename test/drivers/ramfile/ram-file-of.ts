/** RAM files for tests: sparse ones of any size, gone when the test ends. */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { temporaryFolder } from '../qemu/launch/temporary-folder.ts';

export interface WritableRam {
  readonly path: string;
  /** Writes an entry of 8 bytes. */
  writeEntry(position: number, value: bigint): void;
  write(position: number, bytes: Uint8Array): void;
  truncate(byteLength: number): void;
}

export function makeRamFile(byteLength: number): WritableRam {
  const path = join(temporaryFolder(), 'ram');
  const fd = openSync(path, 'w+');
  ftruncateSync(fd, byteLength);
  onTestFinished(() => closeSync(fd));
  const write = (position: number, bytes: Uint8Array): void => {
    writeSync(fd, bytes, 0, bytes.length, position);
  };
  return {
    path,
    write,
    writeEntry: (position, value) => write(position, new Uint8Array(BigUint64Array.of(value).buffer)),
    truncate: (length) => ftruncateSync(fd, length),
  };
}
