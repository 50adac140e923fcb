/**
 * The address bit that memory encryption takes for itself (AMD's C-bit in SME and SEV guests), where no source names it: all entries of
 * page tables have it, and it lies above all RAM. TDX marks what is shared, not what is private: page tables do not show its bit.
 */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import { READ_NOT_FETCHED, READ_OK } from '../../core/memory/physical-memory.ts';
import { PtmonError } from '../../core/error.ts';
import { hex } from '../../core/address/va.ts';
import type { Paging } from '../../core/paging/format.ts';
import type { Snapshot } from '../../driver/snapshot.ts';

/** Address bits 51:32 of the high word. */
const ADDRESS_HI = 0xfffff;
const PRESENT = 1;
/** Tables that must have the bit. */
const LEAST_TABLES = 4;

/**
 * The mask of one root; 0 where its entries share no bit above RAM, or more than one.
 *
 * @throws PtmonError `not-fetched` where remote memory must be fetched first
 */
export function encryptionMaskOf(snapshot: Snapshot, paging: Paging, root: number): bigint {
  const { entryBytes } = paging.mode;
  if (entryBytes === 4) return 0n;
  const entry = new Uint32Array(2);
  let shared = bitsAboveRam(snapshot);
  let entries = 0;
  for (let slot = 0; slot < paging.levels[0]!.slots; slot++) {
    const pa = root + slot * entryBytes;
    const outcome = snapshot.memory.readEntry(pa, entryBytes, entry);
    if (outcome === READ_NOT_FETCHED) {
      throw new PtmonError('not-fetched', `entry ${hex(pa)} is not fetched yet`, { missing: [pa] });
    }
    if (outcome !== READ_OK) return 0n;
    if ((entry[0]! & PRESENT) === 0) continue;
    entries++;
    shared &= entry[1]!;
  }
  return entries > 0 && isOneBit(shared) ? BigInt(shared) << 32n : 0n;
}

/** Counts, page by page, the tables whose entries share one bit above RAM. */
export class EncryptionCensus {
  readonly #above: number;
  readonly #tables = new Map<number, number>();

  constructor(snapshot: Snapshot) {
    this.#above = bitsAboveRam(snapshot);
  }

  /** @param words a page of them from `start` on */
  add(words: Uint32Array, start: number): void {
    let shared = this.#above;
    let entries = 0;
    for (let word = start; word < start + PAGE_BYTES / 4 && shared !== 0; word += 2) {
      const [lo, hi] = [words[word]!, words[word + 1]!];
      if ((lo | hi) === 0) continue;
      if ((lo & PRESENT) === 0) return;
      entries++;
      shared &= hi;
    }
    if (entries > 0 && isOneBit(shared)) this.#tables.set(shared, (this.#tables.get(shared) ?? 0) + 1);
  }

  /** The bit of most tables; 0 where too few have one. */
  get mask(): bigint {
    const [best] = [...this.#tables].sort(([, a], [, b]) => b - a);
    return best !== undefined && best[1] >= LEAST_TABLES ? BigInt(best[0]) << 32n : 0n;
  }
}

/** Of the high word, the address bits that no RAM needs. */
function bitsAboveRam({ regions }: Snapshot): number {
  const last = regions.at(-1);
  const top = last === undefined ? 0 : last.pa + last.byteLength;
  const used = Math.max(0, Math.ceil(Math.log2(top)) - 32);
  return used >= 20 ? 0 : ADDRESS_HI & ~(2 ** used - 1);
}

function isOneBit(bits: number): boolean {
  return bits !== 0 && (bits & (bits - 1)) === 0;
}
