/** The pages of a file whose positions may be no addresses. */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import type { Pacer } from '../../driver/pacer.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import { isAllZero } from './candidates.ts';

const CHUNK_PAGES = 256;

export interface FilePage {
  readonly position: number;
  readonly words: Uint32Array;
}

/** What of the file can be read: whole pages of it. */
export function readableBytes({ rawBytes = 0 }: Snapshot): number {
  return rawBytes - (rawBytes % PAGE_BYTES);
}

/**
 * All pages but those of zeroes, the first at `phase`.
 *
 * @param snapshot of a file whose addresses are its positions
 */
export async function* pagesOf(
  snapshot: Snapshot,
  phase: number,
  pacer: Pacer,
): AsyncGenerator<FilePage, void, undefined> {
  const byteLength = readableBytes(snapshot);
  for (let at = phase; at + PAGE_BYTES <= byteLength; at += CHUNK_PAGES * PAGE_BYTES) {
    if (pacer.isDue) {
      await pacer.turn({ what: 'looking for dropped gaps', done: at, total: byteLength, unit: 'bytes' });
    }
    const pages = Math.min(CHUNK_PAGES, Math.floor((byteLength - at) / PAGE_BYTES));
    const bytes = snapshot.readBytes?.(at, pages * PAGE_BYTES);
    if (bytes === undefined) return;
    for (let page = 0; page < pages; page++) {
      const words = new Uint32Array(bytes.buffer, bytes.byteOffset + page * PAGE_BYTES, PAGE_BYTES / 4);
      if (!isAllZero(words, 0)) yield { position: at + page * PAGE_BYTES, words };
    }
  }
}
