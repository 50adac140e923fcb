/**
 * Roots that a kernel points at. Where 32-bit kernels map all memory by large pages, a root maps itself wherever it lies, and so does what
 * has been moved by a hole in a raw file. A kernel keeps the virtual address of each root that it uses (Linux: `mm->pgd`), and nothing
 * points at a place to which a root has been moved.
 */
import type { Va } from '../../core/address/types.ts';
import { type LongWorkOptions, Pacer } from '../../driver/pacer.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import { memoryChunks } from './memory-chunks.ts';

const WORD_BYTES = 4;

/** Which of some virtual addresses are somewhere in memory as a word of 32 bits. @throws what reading throws; the reason of the signal when it is aborted */
export async function pointedAt(
  snapshot: Snapshot,
  addresses: ReadonlySet<Va>,
  options: LongWorkOptions,
): Promise<ReadonlySet<Va>> {
  const wanted = new Set([...addresses].map(Number));
  const found = new Set<Va>();
  const total = snapshot.regions.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const pacer = new Pacer(options);
  let done = 0;
  for await (const { words } of memoryChunks(snapshot, options)) {
    if (found.size === wanted.size) break;
    done += words.length * WORD_BYTES;
    if (pacer.isDue) await pacer.turn({ what: 'looking for pointers to page tables', done, total, unit: 'bytes' });
    for (const word of words) {
      // Roots are whole pages.
      if ((word & 0xfff) === 0 && wanted.has(word)) found.add(BigInt(word));
    }
  }
  return found;
}
