/**
 * What a trace may ask of whoever replays it. A few bytes can describe much (they are packed, and the tables may lead in circles), and a
 * file may be made by somebody who means harm: what is held must be in proportion to the bytes that were read.
 */
import type { WatchCall } from '../../../driver/watch-calls.ts';
import { corrupt } from '../format/corrupt.ts';

/** What may be held whatever the file's length. */
const FREE_BYTES = 128 * 2 ** 20;
/** What may be held for each byte of the file; traces of real guests take a tenth of it. */
const BYTES_PER_BYTE = 64;

const TABLE_BYTES = 4096 + 256;
/** A record waits until its instant is complete, unpacked. */
const RECORD_BYTES = 256;
const UNPACKED_BYTES_PER_BYTE = 8;
/** A watched address, and the tables of its own that it may bring along. */
const ADDRESS_BYTES = 2048;
const RANGE_BYTES = 1024;
/** Each piece of a range keeps the tags of all ranges that cover it. */
const OVERLAP_BYTES = 64;

/** Reads of entries in one instant: half a second's. What is read is held, 16 bytes an entry. */
const MAX_READS = 2 ** 23;

interface Span {
  readonly start: bigint;
  readonly end: bigint;
}

export class ReplayLimits {
  #fileBytes = 0;
  #held = 0;
  #instantBytes = 0;
  #reads = 0;
  readonly #spans = new Map<string, Span[]>();

  /** More of the file has been read. */
  read(byteLength: number): void {
    this.#fileBytes += byteLength;
  }

  /** @throws PtmonError `corrupt-input` where that is too much, as all that follow */
  holdTables(count: number): void {
    this.#hold(count * TABLE_BYTES);
  }

  /** @param byteLength of the record, packed */
  holdRecord(byteLength: number, isTable: boolean): void {
    const held = RECORD_BYTES + byteLength * UNPACKED_BYTES_PER_BYTE + (isTable ? TABLE_BYTES : 0);
    this.#instantBytes += held;
    this.#hold(held);
  }

  /** The guest runs on. */
  endInstant(): void {
    this.#hold(-this.#instantBytes);
    this.#instantBytes = 0;
    this.#reads = 0;
  }

  /** Whether one more read in this instant is. */
  isReadAllowed(): boolean {
    return ++this.#reads <= MAX_READS;
  }

  holdWatch(call: WatchCall): void {
    if (call.kind === 'monitor') this.#hold(ADDRESS_BYTES);
    if (call.kind !== 'monitorRange') return;
    const key = `${call.view} ${call.root}`;
    const span = { start: call.va, end: call.va + call.byteLength };
    const spans = this.#spans.get(key) ?? [];
    const overlapping = spans.filter(({ start, end }) => start < span.end && span.start < end).length;
    this.#hold(RANGE_BYTES + overlapping * OVERLAP_BYTES);
    spans.push(span);
    this.#spans.set(key, spans);
  }

  #hold(byteLength: number): void {
    this.#held += byteLength;
    const allowed = FREE_BYTES + BYTES_PER_BYTE * this.#fileBytes;
    if (this.#held > allowed) {
      throw corrupt(
        `what the trace wants to be held does not fit into ${Math.round(allowed / 2 ** 20)} MiB, which is much for its length`,
      );
    }
  }
}
