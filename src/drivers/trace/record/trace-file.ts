/** A trace that is being written: records gather in a block, and a block is written when it is full or has waited for a second. */
import { closeSync, writeSync } from 'node:fs';
import { PtmonError } from '../../../core/error.ts';
import { systemCode } from '../../../driver/input-file.ts';
import { openOutputFile } from '../../../driver/output-file.ts';
import { type TraceAbout, encodeAbout } from '../format/about.ts';
import { BLOCK_ABOUT, BLOCK_RECORDS, fileHeader, isTrace, MAX_BLOCK_BYTES, packBlock } from '../format/blocks.ts';
import { ByteWriter } from '../format/byte-writer.ts';
import { RecordEncoder } from '../format/encode-record.ts';
import type { TraceRecord } from '../format/records.ts';

/** Larger blocks are hardly packed better, and lose more where a process is killed. */
const FULL_BLOCK_BYTES = 64 * 1024;
/** What is recorded is in the file at the latest so long after. */
const FLUSH_MS = 1000;

export class TraceFile {
  readonly path: string;
  readonly #fd: number;
  readonly #encoder = new RecordEncoder();
  readonly #record = new ByteWriter();
  readonly #block = new ByteWriter();
  #timer: NodeJS.Timeout | undefined;
  #failure: PtmonError | undefined;
  #byteLength = 0;
  #isOpen = true;

  /**
   * Opens the file, or makes it anew where it was there; nothing is written yet.
   *
   * @throws PtmonError `bad-argument` where it cannot be written to, is no file, is in use, or is no trace and `force` is false
   */
  constructor(path: string, force = false) {
    this.path = path;
    this.#fd = openOutputFile(path, { isOwn: isTrace, own: 'a trace', force });
  }

  /** Bytes written so far. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /** @throws PtmonError `write-failed` */
  begin(about: TraceAbout): void {
    this.#write(fileHeader());
    this.#write(packBlock(BLOCK_ABOUT, encodeAbout(about)));
  }

  /** @throws PtmonError `write-failed`, `bad-argument` for a record that no block can hold */
  add(record: TraceRecord): void {
    this.#expectWhole();
    this.#record.clear();
    this.#encoder.encode(record, this.#record);
    if (this.#record.length > MAX_BLOCK_BYTES) {
      throw new PtmonError(
        'bad-argument',
        `a ${record.type} record of ${this.#record.length} bytes is too long for a trace`,
      );
    }
    if (this.#block.length + this.#record.length > MAX_BLOCK_BYTES) this.#flush();
    this.#block.append(this.#record.bytes);
    if (record.type === 'instant') this.#afterInstant();
  }

  /** Writes what is left, and closes the file. May be called again. @throws PtmonError `write-failed`, once */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const failed = this.#failure;
    try {
      if (failed === undefined) this.#flush();
    } finally {
      clearTimeout(this.#timer);
      closeSync(this.#fd);
    }
  }

  /** What is written is whole instants, but for those that are larger than a block. */
  #afterInstant(): void {
    if (this.#block.length >= FULL_BLOCK_BYTES) return this.#flush();
    this.#timer ??= setTimeout(() => this.#flushInTime(), FLUSH_MS).unref();
  }

  #flushInTime(): void {
    this.#timer = undefined;
    try {
      this.#flush();
    } catch {
      // The next record is told.
    }
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#block.length === 0) return;
    const block = packBlock(BLOCK_RECORDS, this.#block.bytes);
    this.#block.clear();
    this.#write(block);
  }

  #write(bytes: Buffer): void {
    this.#expectWhole();
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done);
      this.#byteLength += bytes.length;
    } catch (error) {
      const what = systemCode(error) === 'ENOSPC' ? 'there is no space left' : systemCode(error);
      this.#failure = new PtmonError(
        'write-failed',
        `${this.path} cannot be written to: ${what}`,
        {},
        { cause: error },
      );
      throw this.#failure;
    }
  }

  /** A block that was not written is missing in the middle: nothing may follow it. */
  #expectWhole(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
