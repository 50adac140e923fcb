/**
 * The memory of one address space, by virtual address, as its page tables translate now. A page that is not there is reported as
 * absent, with the reason; it is never filled with zeroes.
 */
import { PAGE_BYTES, toPa } from '../../core/address/pa.ts';
import { hex, toU64 } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import type { Paging } from '../../core/paging/format.ts';
import { RIGHTS_ALL, rightsOf } from '../../core/paging/rights.ts';
import { type Walk, walk } from '../../core/paging/walk.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import type { Tables } from '../../snapshot/index.ts';
import { type PhysicalBytesSource, readPhysicalBytes } from './physical-bytes.ts';
import { retry } from '../../driver/retry.ts';
import type { LinuxGuest } from '../../linux/index.ts';
import { type AbsentReason, absentReason } from './absent-reason.ts';

/** A range of addresses: bytes from `va` on. */
export interface VirtualRange {
  readonly va: bigint;
  readonly byteLength: bigint;
}

/** What reading an address space takes: one paused guest, or one moment of a dump. */
export type MemorySource = PhysicalBytesSource & Pick<Snapshot, 'remote'>;

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

/** Whose memory it is, for messages. */
export interface MemoryOwner {
  /** `nginx[412]`; defaults to the top-level table. */
  readonly name?: string | undefined;
  /** What explains entries that are not present: a swap slot, for example. */
  readonly linux?: Pick<LinuxGuest, 'meaningOf'> | undefined;
  /** Aborted when what is read would be of another moment. */
  readonly over?: AbortSignal | undefined;
}

export type MemoryPiece = PresentPiece | AbsentPiece;

/** Bytes of a piece that are read at once: a bound on memory for a caller that reads piece by piece. */
const MAX_PIECE_BYTES = 1 << 20;
/** The longest single read; a larger range is read with `pieces`. */
export const MAX_READ_BYTES = 1 << 28;

export class VirtualMemory {
  /** Physical address of the top-level table. */
  readonly root: number;
  readonly #paging: Paging | undefined;
  readonly #source: MemorySource;
  readonly #owner: MemoryOwner;

  /** @param space the tables, by the physical address of the top-level one; undefined for physical memory, whose addresses are its own */
  constructor(source: MemorySource, space: Tables | undefined, owner: MemoryOwner = {}) {
    this.#source = source;
    this.#owner = owner;
    this.#paging = space?.paging;
    this.root = space?.root ?? 0;
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
      if ('absent' in piece) throw this.absentError('read', piece);
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
    const range = checkedRange({ va, byteLength });
    const end = range.va + range.byteLength;
    for (let at = range.va; at < end; ) {
      const piece = await this.#do(() => this.#pieceAt(at, end));
      yield piece;
      at += BigInt('absent' in piece ? piece.byteLength : piece.bytes.length);
    }
  }

  /** What is thrown where a page must be there. @param verb what cannot be done: `read` */
  absentError(verb: string, piece: Pick<AbsentPiece, 'va' | 'absent' | 'walk'>): PtmonError {
    const { root } = this;
    const { name = `root ${hex(root)}`, linux } = this.#owner;
    const why = absentReason(piece, linux);
    return new PtmonError('read-failed', `${hex(piece.va)} of ${name} cannot be ${verb}: ${why}`, {
      va: piece.va,
      root,
    });
  }

  /** A fresh walk of an address. @throws what the source throws */
  walk(va: bigint): Promise<Walk> {
    return this.#do(() => this.#walk(toU64(va, 'virtual address')));
  }

  async #do<T>(call: () => T): Promise<T> {
    this.#owner.over?.throwIfAborted();
    return retry(call, { remote: this.#source.remote });
  }

  #walk(va: bigint): Walk {
    const { root } = this;
    if (this.#paging !== undefined) return walk(this.#paging, this.#source.memory, root, va);
    const at = { root: toPa(root), va: toU64(va, 'physical address'), pa: toPa(va) };
    return { translates: true, ...at, pageSize: PAGE_BYTES, rights: rightsOf(RIGHTS_ALL), steps: [] };
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
    const paging = this.#paging!;
    if (first.reason === 'non-canonical') {
      // The hole between the halves, or all above 32 bits: more pages than could be walked one by one.
      const holeEnd = BigInt(paging.highStart) << 12n;
      return { va, byteLength: exactLength(va, end < holeEnd ? end : holeEnd), absent: first.reason, walk: first };
    }
    let at = va + BigInt(absentSpan(paging, first));
    for (let walks = 0; at < end && walks < MAX_WALKS; walks++) {
      const next = this.#walk(at);
      if (next.translates || next.reason !== first.reason || lastValue(next) !== lastValue(first)) break;
      at += BigInt(absentSpan(paging, next));
    }
    return { va, byteLength: Number((at < end ? at : end) - va), absent: first.reason, walk: first };
  }
}

/** Walks for one absent piece: some milliseconds. At most 512 GiB each, so that their sum stays an exact number. */
const MAX_WALKS = 4096;

/** A range as bigints. @throws PtmonError `bad-argument` where it is none, or ends above 2^64 */
export function checkedRange(range: VirtualRange): VirtualRange {
  if (typeof range !== 'object' || range === null)
    throw new PtmonError('bad-argument', `the range ${String(range)} is no object with va and byteLength`);
  const va = toU64(range.va, 'virtual address');
  const byteLength = toU64(range.byteLength, 'byteLength');
  if (va + byteLength <= 1n << 64n) return { va, byteLength };
  throw new PtmonError('bad-argument', `${byteLength} bytes at ${hex(va)} end above 2^64`);
}

export function checkLength(byteLength: number): void {
  if (Number.isSafeInteger(byteLength) && byteLength >= 0 && byteLength <= MAX_READ_BYTES) return;
  const advice = typeof byteLength === 'bigint' ? ', as a number and not as a bigint' : '';
  throw new PtmonError(
    'bad-argument',
    `byteLength ${String(byteLength)}: give an integer from 0 to ${MAX_READ_BYTES}${advice}`,
  );
}

/** Bytes from `va` to the end of its 4 KiB page. */
function pageRemainder(va: bigint): number {
  return PAGE_BYTES - Number(va & 0xfffn);
}

function leafRemainder({ va, pageSize }: Walk & { translates: true }): number {
  return pageSize - Number(va & BigInt(pageSize - 1));
}

/** The bytes from `va` to `end`, or as many of them as a number counts exactly: from a page on, whole pages. */
function exactLength(va: bigint, end: bigint): number {
  const length = end - va;
  if (length <= Number.MAX_SAFE_INTEGER) return Number(length);
  return va % BigInt(PAGE_BYTES) === 0n ? Number(length & ~0xfffn) : pageRemainder(va);
}

/** Bytes from the walk's address to the end of what the entry that stops it covers. */
function absentSpan(paging: Paging, { va, level }: Walk & { translates: false }): number {
  const covered = level === null ? PAGE_BYTES : (paging.byLevel[level]?.slotPages ?? 1) * PAGE_BYTES;
  return covered - Number(va & BigInt(covered - 1));
}

function lastValue({ steps }: Walk): bigint | undefined {
  return steps.at(-1)?.value;
}
