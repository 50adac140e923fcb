/**
 * The memory of one address space, by virtual address, as its page tables translate now. A page that is not there is reported as
 * absent, with the reason; it is never filled with zeroes.
 */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import { hex, toU64 } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import type { Paging } from '../../core/paging/format.ts';
import { type StopReason, type Walk, walk } from '../../core/paging/walk.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import type { Tables } from '../../snapshot/index.ts';
import { type PhysicalBytesSource, readPhysicalBytes } from './physical-bytes.ts';
import { retry } from '../../driver/retry.ts';

/** What reading an address space takes: one paused guest, or one moment of a dump. */
export type MemorySource = PhysicalBytesSource & Pick<Snapshot, 'remote'>;

/** Why a page cannot be read: where its walk stops, or that its frame is not RAM. */
export type AbsentReason = StopReason | 'not-ram';

/** Bytes that are there. */
export interface PresentPiece {
  readonly va: bigint;
  readonly bytes: Uint8Array;
}

/** A run of pages that are not, all for one reason. */
export interface AbsentPiece {
  readonly va: bigint;
  readonly byteLength: number;
  readonly absent: AbsentReason;
  /** The walk of its first page: its last step is the entry that does not translate. */
  readonly walk: Walk;
}

export type MemoryPiece = PresentPiece | AbsentPiece;

/** Bytes of a piece that are read at once: a bound on memory for a caller that reads piece by piece. */
const MAX_PIECE_BYTES = 1 << 20;
/** The longest single read; a larger range is read with `pieces`. */
const MAX_READ_BYTES = 1 << 28;

export class VirtualMemory {
  /** Physical address of the top-level table. */
  readonly root: number;
  readonly #paging: Paging;
  readonly #source: MemorySource;

  /** @param space the tables, by the physical address of the top-level one */
  constructor(source: MemorySource, { paging, root }: Tables) {
    this.#source = source;
    this.#paging = paging;
    this.root = root;
  }

  /**
   * Reads bytes, all of which must be there.
   *
   * @throws PtmonError `read-failed` naming the first address that is not mapped, and why; `bad-argument` for a length that is no
   *   non-negative integer up to 256 MiB; what the source throws
   */
  async read(va: bigint, byteLength: number): Promise<Uint8Array> {
    checkLength(byteLength);
    const bytes = new Uint8Array(byteLength);
    let done = 0;
    for await (const piece of this.pieces(va, BigInt(byteLength))) {
      if ('absent' in piece) throw absentError(piece);
      bytes.set(piece.bytes, done);
      done += piece.bytes.length;
    }
    return bytes;
  }

  /**
   * Reads a text that ends with a zero byte, as UTF-8.
   *
   * @param maxBytes where no zero byte comes before, the text ends there; 4096 by default
   * @throws PtmonError as `read`
   */
  async readString(va: bigint, maxBytes = PAGE_BYTES): Promise<string> {
    checkLength(maxBytes);
    const parts: Uint8Array[] = [];
    let length = 0;
    while (length < maxBytes) {
      const at = toU64(va, 'virtual address') + BigInt(length);
      // No further than its page: the next one may not be mapped, and need not be.
      const part = await this.read(at, Math.min(maxBytes - length, PAGE_BYTES - Number(at & 0xfffn)));
      const end = part.indexOf(0);
      parts.push(end < 0 ? part : part.subarray(0, end));
      if (end >= 0) break;
      length += part.length;
    }
    return new TextDecoder().decode(Buffer.concat(parts));
  }

  /** What is there of a range and what is not, ascending and without a gap. @throws what the source throws */
  async *pieces(va: bigint, byteLength: bigint): AsyncGenerator<MemoryPiece, void, undefined> {
    const start = toU64(va, 'virtual address');
    const end = start + toU64(byteLength, 'byteLength');
    for (let at = start; at < end; ) {
      const piece = await this.#do(() => this.#pieceAt(at, end));
      yield piece;
      at += BigInt('absent' in piece ? piece.byteLength : piece.bytes.length);
    }
  }

  /** A fresh walk of an address. @throws what the source throws */
  walk(va: bigint): Promise<Walk> {
    return this.#do(() => this.#walk(toU64(va, 'virtual address')));
  }

  #do<T>(call: () => T): Promise<T> {
    return retry(call, { remote: this.#source.remote });
  }

  #walk(va: bigint): Walk {
    return walk(this.#paging, this.#source.memory, this.root, va);
  }

  /** The longest piece from `va` on: as far as frames are contiguous, or as nothing is mapped for the same reason. */
  #pieceAt(va: bigint, end: bigint): MemoryPiece {
    const first = this.#walk(va);
    if (!first.translates) return this.#absentFrom(first, va, end);
    const limit = end - va < BigInt(MAX_PIECE_BYTES) ? Number(end - va) : MAX_PIECE_BYTES;
    let byteLength = leafRemainder(first);
    while (byteLength < limit) {
      const next = this.#walk(va + BigInt(byteLength));
      if (!next.translates || next.pa !== first.pa + byteLength) break;
      byteLength += leafRemainder(next);
    }
    const bytes = readPhysicalBytes(this.#source, first.pa, Math.min(byteLength, limit));
    if (bytes.length > 0) return { va, bytes };
    return { va, byteLength: Math.min(limit, pageRemainder(va)), absent: 'not-ram', walk: first };
  }

  #absentFrom(first: Walk & { translates: false }, va: bigint, end: bigint): AbsentPiece {
    let at = va + BigInt(absentSpan(this.#paging, first));
    for (let walks = 0; at < end && walks < MAX_WALKS; walks++) {
      const next = this.#walk(at);
      if (next.translates || next.reason !== first.reason || lastValue(next) !== lastValue(first)) break;
      at += BigInt(absentSpan(this.#paging, next));
    }
    return { va, byteLength: Number((at < end ? at : end) - va), absent: first.reason, walk: first };
  }
}

/** Walks for one absent piece: some milliseconds. At most 512 GiB each, so that their sum stays an exact number. */
const MAX_WALKS = 4096;

export function checkLength(byteLength: number): void {
  if (Number.isSafeInteger(byteLength) && byteLength >= 0 && byteLength <= MAX_READ_BYTES) return;
  throw new PtmonError('bad-argument', `byteLength ${byteLength}: give an integer from 0 to ${MAX_READ_BYTES}`);
}

/** Bytes from `va` to the end of its 4 KiB page. */
function pageRemainder(va: bigint): number {
  return PAGE_BYTES - Number(va & 0xfffn);
}

function leafRemainder({ va, pageSize }: Walk & { translates: true }): number {
  return pageSize - Number(va & BigInt(pageSize - 1));
}

/** Bytes from the walk's address to the end of what the entry that stops it covers. */
function absentSpan(paging: Paging, { va, level }: Walk & { translates: false }): number {
  const covered = level === null ? PAGE_BYTES : (paging.byLevel[level]?.slotPages ?? 1) * PAGE_BYTES;
  return covered - Number(va & BigInt(covered - 1));
}

function lastValue({ steps }: Walk): bigint | undefined {
  return steps.at(-1)?.value;
}

const REASONS: Readonly<Record<AbsentReason, string>> = {
  'not-present': 'no page is present there',
  'reserved-bit': 'its entry has a reserved bit set',
  'no-memory': 'its page table lies outside RAM',
  'non-canonical': 'it is not canonical',
  'not-ram': 'the physical address behind it is not RAM',
};

function absentError({ va, absent, walk: { root } }: AbsentPiece): PtmonError {
  return new PtmonError('read-failed', `${hex(va)} of root ${hex(root)} cannot be read: ${REASONS[absent]}`, {
    va,
    root,
  });
}
