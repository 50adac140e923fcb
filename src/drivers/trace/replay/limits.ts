/**
 * What a trace may cost a replay. A few bytes can describe much (they are packed, and the tables may lead in circles), and a
 * file may be hostile: what is held must be in proportion to the bytes that were read.
 */
import { corrupt } from '../format/corrupt.ts';

/** What may be held whatever the file's length. */
const FREE_BYTES = 128 * 2 ** 20;
/** What may be held for each byte of the file; traces of real guests take a tenth of it. */
const BYTES_PER_BYTE = 64;

const TABLE_BYTES = 4096 + 256;
/** A record waits until its instant is complete, unpacked. */
const RECORD_BYTES = 256;
const UNPACKED_BYTES_PER_BYTE = 8;

/** Reads of entries in one instant: half a second's. What is read is held, 16 bytes an entry. */
const MAX_INSTANT_READS = 2 ** 23;
/** Reads in all: ten seconds', and some for each byte of the file. A sample of a million entries in which nothing changed takes a byte. */
const FREE_READS = 2 ** 30;
const READS_PER_BYTE = 2 ** 20;

export class ReplayLimits {
  #fileBytes = 0;
  #held = 0;
  #instantBytes = 0;
  #reads = 0;
  #instantReads = 0;

  /** More of the file has been read. */
  read(byteLength: number): void {
    this.#fileBytes += byteLength;
  }

  holdTables(count: number): void {
    this.hold(count * TABLE_BYTES);
  }

  /** @param byteLength of the record, packed */
  holdRecord(byteLength: number, isTable: boolean): void {
    const held = RECORD_BYTES + byteLength * UNPACKED_BYTES_PER_BYTE + (isTable ? TABLE_BYTES : 0);
    this.#instantBytes += held;
    this.hold(held);
  }

  /** The guest runs on. */
  endInstant(): void {
    this.hold(-this.#instantBytes);
    this.#instantBytes = 0;
    this.#reads += this.#instantReads;
    this.#instantReads = 0;
    if (this.#reads > FREE_READS + READS_PER_BYTE * this.#fileBytes) {
      throw corrupt(
        'the replay reads more than a trace of this length needs: the file is damaged, or made to keep ptmon busy',
      );
    }
  }

  /** Whether one more read in this instant is. */
  isReadAllowed(): boolean {
    return ++this.#instantReads <= MAX_INSTANT_READS;
  }

  /** @throws PtmonError `corrupt-input` where that is too much */
  hold(byteLength: number): void {
    this.#held += byteLength;
    const allowed = FREE_BYTES + BYTES_PER_BYTE * this.#fileBytes;
    if (this.#held > allowed) {
      throw corrupt(
        `the replay needs more than ${Math.round(allowed / 2 ** 20)} MiB, more than a trace of this length needs: the file is damaged, or made to fill memory`,
      );
    }
  }
}
