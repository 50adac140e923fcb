/** Reads bytes of physical memory: many at once where the source can, else entry by entry. */
import { frameOffsetOf, PAGE_BYTES } from '../../core/address/pa.ts';
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import { READ_NOT_FETCHED, READ_OK } from '../../core/memory/physical-memory.ts';
import type { Snapshot } from '../../driver/snapshot.ts';

export type PhysicalBytesSource = Pick<Snapshot, 'memory' | 'readBytes' | 'isLeftOut'>;

/**
 * As many bytes as are RAM from `pa` on, up to `wanted`, and were not left out.
 *
 * @throws PtmonError `not-fetched` where memory must be fetched first
 */
export function readPhysicalBytes(source: PhysicalBytesSource, pa: number, wanted: number): Uint8Array {
  let byteLength = wanted;
  if (source.isLeftOut !== undefined) {
    byteLength = 0;
    while (byteLength < wanted && !source.isLeftOut(pa + byteLength))
      byteLength = Math.min(wanted, byteLength + PAGE_BYTES - frameOffsetOf(pa + byteLength));
  }
  const whole = source.readBytes?.(pa, byteLength);
  if (whole !== undefined) return whole;
  const word = new Uint32Array(2);
  const bytes = new Uint8Array(byteLength);
  const missing: number[] = [];
  let done = 0;
  while (done < byteLength) {
    const at = pa + done;
    const within = at % 8;
    const count = Math.min(8 - within, byteLength - done);
    const outcome = source.memory.readEntry(at - within, 8, word);
    if (outcome === READ_NOT_FETCHED) missing.push(at - within);
    else if (outcome !== READ_OK) break;
    else bytes.set(new Uint8Array(word.buffer, within, count), done);
    // One word of a page that is not here yet stands for all of it.
    done += outcome === READ_NOT_FETCHED ? Math.min(PAGE_BYTES - frameOffsetOf(at), byteLength - done) : count;
  }
  if (missing.length > 0) {
    throw new PtmonError('not-fetched', `memory at ${hex(missing[0]!)} is not fetched yet`, { missing });
  }
  return bytes.subarray(0, done);
}
