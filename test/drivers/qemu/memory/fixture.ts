/** What a real QEMU 7.2 printed for `info mtree -f`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export type FixtureName =
  /** `-nodefaults -m 256M`, before its first instruction. */
  | 'pc-256m-nodefaults'
  /** `-m 4G`, with its firmware running. */
  | 'pc-4g-vga-running'
  /** `-M q35 -nodefaults -m 6G`, before its first instruction. */
  | 'q35-6g'
  /** Two NUMA nodes of 256 MiB: a shared memory-backend-file `near` and a memory-backend-ram `far`. */
  | 'pc-numa'
  /** `-M q35,memory-backend=mem -m 6G`, with its firmware running. */
  | 'q35-memory-backend';

export function memoryTree(name: FixtureName): string {
  return readFileSync(join(import.meta.dirname, 'fixtures', `${name}.txt`), 'utf8');
}
