/** A trace from its file, instant by instant. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { PtmonError } from '../../../core/error.ts';
import { notAFile, openError, systemCode } from '../../../driver/input-file.ts';
import { decodeAbout, type TraceAbout } from '../format/about.ts';
import {
  BLOCK_ABOUT,
  BLOCK_HEADER_BYTES,
  BLOCK_RECORDS,
  checkFileHeader,
  FILE_HEADER_BYTES,
  FIRST_OPTIONAL_BLOCK,
  parseBlockHeader,
  unpackBlock,
} from '../format/blocks.ts';
import { ByteReader } from '../format/byte-reader.ts';
import { corrupt, locate, located } from '../format/corrupt.ts';
import { decodeRecord } from '../format/decode-record.ts';
import type { EndRecord, StateRecord, StepRecord } from '../format/records.ts';
import { ReplayLimits } from './limits.ts';

/** What happened while the guest was stopped once. */
export interface TraceInstant {
  /** Microseconds since the recording began. */
  readonly timeUs: number;
  /** What memory and registers were from then on. */
  readonly state: readonly StateRecord[];
  /** What was done, in order. */
  readonly steps: readonly StepRecord[];
  /** Of the block that its last record is in. */
  readonly offset: number;
}

/** A block of a kind that is known. */
interface Block {
  readonly type: number;
  readonly offset: number;
  readonly raw: Buffer;
}

export class TraceReader {
  readonly path: string;
  readonly about: TraceAbout;
  readonly limits = new ReplayLimits();
  readonly #fd: number;
  #offset = 0;
  #end: EndRecord | undefined;
  #isOpen = true;

  /** @throws PtmonError `source-unavailable` for what cannot be read, `corrupt-input` for what is no trace */
  constructor(path: string) {
    this.path = path;
    this.#fd = openFile(path);
    try {
      this.about = this.#at(0, () => this.#readStart());
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** How the recorded session ended; undefined until that was read. */
  get end(): EndRecord | undefined {
    return this.#end;
  }

  /** Of the file, as far as it was read. */
  get byteLength(): number {
    return this.#offset;
  }

  /**
   * The instants in order, once; done when the record of the end was read.
   *
   * @throws PtmonError `corrupt-input` with the file's `offset`, after all instants before it
   */
  *instants(): Generator<TraceInstant, void, undefined> {
    let state: StateRecord[] = [];
    let steps: StepRecord[] = [];
    let timeUs = 0;
    for (const { type, raw, offset } of this.#blocks()) {
      if (type !== BLOCK_RECORDS) continue;
      const from = new ByteReader(raw);
      while (from.left > 0) {
        const at = from.position;
        const record = this.#at(offset, () => decodeRecord(from));
        if (record === undefined) continue;
        this.#at(offset, () => this.limits.holdRecord(from.position - at, record.type === 'table'));
        switch (record.type) {
          case 'table':
          case 'no-memory':
          case 'left':
          case 'changes':
          case 'registers':
            state.push(record);
            break;
          case 'said':
          case 'names':
          case 'owners':
          case 'call':
          case 'note':
            steps.push(record);
            break;
          case 'instant':
            timeUs = this.#at(offset, () => later(timeUs, record.sinceUs));
            yield { timeUs, state, steps, offset };
            this.#at(offset, () => this.limits.endInstant());
            [state, steps] = [[], []];
            break;
          case 'end':
            this.#end = record;
            return this.#at(offset, () => this.#expectNothing(from.left));
        }
      }
    }
    const why = 'the trace has no end record: the recording process was killed, or the file was cut';
    throw located(corrupt(why), this.path, this.#offset);
  }

  /** May be called again. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#fd);
  }

  #expectNothing(left: number): void {
    if (left > 0 || this.#read(1).length > 0) throw corrupt('there is data after the end');
  }

  #readStart(): TraceAbout {
    const header = this.#read(FILE_HEADER_BYTES);
    checkFileHeader(header);
    const first = this.#readBlock();
    if (first?.type !== BLOCK_ABOUT) throw corrupt('the first block does not say what was recorded');
    return this.#at(first.offset, () => decodeAbout(first.raw));
  }

  *#blocks(): Generator<Block, void, undefined> {
    for (let block = this.#readBlock(); block !== undefined; block = this.#readBlock()) yield block;
  }

  /** The next block; undefined at the end of the file. */
  #readBlock(): Block | undefined {
    const offset = this.#offset;
    return this.#at(offset, () => {
      const bytes = this.#read(BLOCK_HEADER_BYTES);
      if (bytes.length === 0) return undefined;
      if (bytes.length < BLOCK_HEADER_BYTES) throw corrupt('the file ends within the header of a block');
      const header = parseBlockHeader(bytes);
      const stored = this.#read(header.storedLength);
      if (stored.length < header.storedLength) {
        throw corrupt(`the file ends within a block: it has ${stored.length} bytes of ${header.storedLength}`);
      }
      const isKnown = header.type === BLOCK_ABOUT || header.type === BLOCK_RECORDS;
      if (!isKnown && header.type < FIRST_OPTIONAL_BLOCK) throw corrupt(`unknown block type ${header.type}`);
      return { type: header.type, offset, raw: unpackBlock(header, stored) };
    });
  }

  /** Fewer bytes only at the end of the file. */
  #read(byteLength: number): Buffer {
    const bytes = Buffer.alloc(byteLength);
    let done = 0;
    while (done < byteLength) {
      const count = this.#readSome(bytes, done);
      if (count === 0) break;
      done += count;
    }
    this.#offset += done;
    this.limits.read(done);
    return bytes.subarray(0, done);
  }

  #readSome(into: Buffer, from: number): number {
    if (!this.#isOpen) throw new PtmonError('closed', `${this.path} is closed`);
    try {
      return readSync(this.#fd, into, from, into.length - from, null);
    } catch (error) {
      throw new PtmonError(
        'source-unavailable',
        `${this.path} cannot be read (${systemCode(error)})`,
        {},
        { cause: error },
      );
    }
  }

  #at<T>(offset: number, work: () => T): T {
    return locate(this.path, offset, work);
  }
}

function later(timeUs: number, sinceUs: number): number {
  const sum = timeUs + sinceUs;
  if (sum <= Number.MAX_SAFE_INTEGER) return sum;
  throw corrupt('the trace is longer than 285 years');
}

function openFile(path: string): number {
  let fd: number;
  try {
    // Not to be held up by a pipe that nobody writes to.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw openError(path, error);
  }
  const stats = fstatSync(fd);
  // A device may hold a trace, as a file does.
  if (!stats.isDirectory() && !stats.isFIFO()) return fd;
  closeSync(fd);
  throw notAFile(path);
}
