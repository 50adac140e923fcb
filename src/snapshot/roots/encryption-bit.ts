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
/** Tables below a root that are looked at, and the entries of each. */
const MOST_TABLES = 16;
const ENTRIES = 512;

/**
 * The mask of one root; 0 where its entries share no bit above RAM, or more than one.
 *
 * @throws PtmonError `not-fetched` where remote memory must be fetched first
 */
export function encryptionMaskOf(snapshot: Snapshot, paging: Paging, root: number): bigint {
  const { entryBytes } = paging.mode;
  if (entryBytes === 4) return 0n;
  const entry = new Uint32Array(2);
  /** High words of its present entries, and the tables that these lead to without the bits `above`. */
  const present = (table: number, slots: number, above = 0) => {
    const [high, tables]: [number[], number[]] = [[], []];
    for (let pa = table; pa < table + slots * entryBytes; pa += entryBytes) {
      const outcome = snapshot.memory.readEntry(pa, entryBytes, entry);
      if (outcome === READ_NOT_FETCHED) {
        throw new PtmonError('not-fetched', `entry ${hex(pa)} is not fetched yet`, { missing: [pa] });
      }
      const [lo, hi] = entry as unknown as [number, number];
      if (outcome !== READ_OK || (lo & PRESENT) === 0) continue;
      high.push(hi);
      tables.push((hi & ADDRESS_HI & ~above) * 2 ** 32 + (lo >>> 12) * PAGE_BYTES);
    }
    return { high, tables };
  };
  const above = bitsAboveRam(snapshot);
  const { high, tables } = present(root, paging.levels[0]!.slots, above);
  const shared = high.reduce((bits, hi) => bits & hi, above);
  if (high.length === 0 || !isOneBit(shared)) return 0n;
  // Tables above the memory that a part of a dump has share a bit of their addresses, too. Without it nothing of the kind is there.
  const below = tables.slice(0, MOST_TABLES).flatMap((table) => present(table, ENTRIES).high);
  return below.length > 0 && below.every((hi) => (hi & shared) !== 0) ? BigInt(shared) << 32n : 0n;
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

/** Of the high word, the address bits that no RAM needs, nor what is missing of it. */
function bitsAboveRam({ regions, missing = [] }: Snapshot): number {
  const top = [...regions.slice(-1), ...missing].reduce(
    (most, { pa, byteLength }) => Math.max(most, pa + byteLength),
    0,
  );
  const used = Math.max(0, Math.ceil(Math.log2(Math.max(1, top))) - 32);
  return used >= 20 ? 0 : ADDRESS_HI & ~(2 ** used - 1);
}

function isOneBit(bits: number): boolean {
  return bits !== 0 && (bits & (bits - 1)) === 0;
}
