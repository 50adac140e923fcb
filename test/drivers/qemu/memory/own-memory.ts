/** A stretch of this process's own memory, and where it is: what stands in for the RAM that a QEMU has. */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { ProcessMemory } from '../../../../src/drivers/qemu/memory/process-memory.ts';

export interface OwnMemory {
  readonly bytes: Uint8Array;
  readonly address: number;
}

/** The allocator gives what is larger than 32 MiB a mapping of its own, always: mallopt(3), M_MMAP_THRESHOLD. */
const BYTE_LENGTH = 40 * 2 ** 20;
/** As much of it as tests look at. */
const USED_BYTE_LENGTH = 2 * 2 ** 20;

/** Its first 2 MiB hold `value` at the first byte of each 4096, from the second on. */
export function ownMemory(value: number): OwnMemory {
  const bytes = new Uint8Array(new SharedArrayBuffer(BYTE_LENGTH));
  const mark = crypto.getRandomValues(Buffer.alloc(32));
  bytes.set(mark);
  bytes.set(mark, BYTE_LENGTH - mark.length);
  const address = addressOf(mark);
  for (let at = 4096; at < USED_BYTE_LENGTH; at += 4096) bytes[at] = value;
  return { bytes, address };
}

/** Where `mark` is, at the beginning of a page or after what the allocator has put there, and again at the end of the bytes. */
function addressOf(mark: Buffer): number {
  const maps = readFileSync('/proc/self/maps', 'utf8').matchAll(/^([\da-f]+)-([\da-f]+) rw/gm);
  for (const [, begin, end] of maps) {
    const [first, last] = [Number(`0x${begin}`), Number(`0x${end}`)];
    const source = new ProcessMemory(process.pid, first);
    for (let page = first; page < last; page += 4096) {
      const at = read(source, page, 64).indexOf(mark);
      // Copies of the mark alone are about, too.
      if (at < 0 || !read(source, page + at + BYTE_LENGTH - mark.length, mark.length).equals(mark)) continue;
      source.close();
      return page + at;
    }
    source.close();
  }
  throw new Error('the memory of this process has no such bytes');
}

/** Nothing where it is mapped, but not to be read: a guard page, or a file that is shorter. */
function read(source: ProcessMemory, address: number, byteLength: number): Buffer {
  const bytes = Buffer.alloc(byteLength);
  try {
    source.read(bytes, address);
    return bytes;
  } catch {
    return Buffer.alloc(0);
  }
}
