/** The output of a watch: its lines, in segments on the disk. What cannot be written is counted and becomes a gap. */
import { closeSync, fsyncSync, ftruncateSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { RateLimit } from './rate-limit.ts';
import { COMPLETE, gapLine, OPEN, type SegmentFacts, segmentLine, segmentName, syncFolder } from './segment.ts';

export interface JournalOptions {
  readonly folder: string;
  readonly facts: SegmentFacts;
  /** A segment is complete after this time, or at this size. */
  readonly maxMs: number;
  readonly maxBytes: number;
  readonly maxEventsPerSecond?: number | undefined;
  /** Milliseconds, for tests. */
  readonly now?: () => number;
}

interface OpenSegment {
  readonly fd: number;
  readonly path: string;
  byteLength: number;
  readonly startedMs: number;
}

export interface JournalCounts {
  /** Lines about events that are in the journal. */
  readonly events: number;
  /** Events that are not, by reason. */
  readonly limited: number;
  readonly unwritten: number;
}

interface Missing {
  all: number;
  /** Those that no gap counts yet, and since when there are any. */
  untold: number;
  sinceMs: number;
}

const GAP_MS = 1000;
const EVENT = /^\{"v":\d+,"kind":"[a-z-]+","seq":/;

/** Each chunk that is written to it is one line. A line is handed to the system before the next one is taken: only a crash of the host loses it. */
export class Journal extends Writable {
  readonly #options: JournalOptions;
  readonly #limit: RateLimit | undefined;
  readonly #now: () => number;
  #segment: OpenSegment | undefined;
  #number = 0;
  #lines = 0;
  #events = 0;
  readonly #limited: Missing = { all: 0, untold: 0, sinceMs: 0 };
  readonly #unwritten: Missing = { all: 0, untold: 0, sinceMs: 0 };

  constructor(options: JournalOptions) {
    super({ decodeStrings: false });
    this.#options = options;
    this.#now = options.now ?? Date.now;
    const { maxEventsPerSecond } = options;
    if (maxEventsPerSecond !== undefined) this.#limit = new RateLimit(maxEventsPerSecond, this.#now);
    mkdirSync(options.folder, { recursive: true });
  }

  get counts(): JournalCounts {
    return { events: this.#events, limited: this.#limited.all, unwritten: this.#unwritten.all };
  }

  /** Completes a segment that is old enough. Called from time to time. */
  tick(): void {
    const { maxMs } = this.#options;
    this.#tellGaps();
    if (this.#segment !== undefined && this.#now() - this.#segment.startedMs >= maxMs) this.#complete();
  }

  override _write(chunk: string | Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.#take(chunk.toString());
    done();
  }

  /** A disk that is full holds the end up until it has room for the count of what is missing. */
  override _final(done: (error?: Error) => void): void {
    this.#tellGaps(true);
    if (this.#limited.untold + this.#unwritten.untold > 0) {
      setTimeout(() => this._final(done), GAP_MS);
      return;
    }
    this.#complete();
    done();
  }

  #take(line: string): void {
    if (line === '') return;
    const isEvent = EVENT.test(line);
    if (isEvent && this.#limit?.take() === false) {
      this.#miss(this.#limited);
      return this.#tellGaps();
    }
    this.#tellGaps();
    const isWritten = this.#append(line);
    if (!isEvent) return;
    if (isWritten) this.#events++;
    else this.#miss(this.#unwritten);
  }

  /** Under a rate limit, one gap for each second; the numbers of the events (`seq`) show which are missing. */
  #tellGaps(isEnd = false): void {
    const isDue = isEnd || this.#now() - this.#limited.sinceMs >= GAP_MS;
    if (isDue) this.#tell(this.#limited, 'rate limit');
    this.#tell(this.#unwritten, 'the disk did not take them');
  }

  #tell(count: Missing, reason: string): void {
    if (count.untold > 0 && this.#append(gapLine(count.untold, reason))) count.untold = 0;
  }

  #miss(count: Missing): void {
    if (count.untold === 0) count.sinceMs = this.#now();
    count.all++;
    count.untold++;
  }

  /** Returns whether the line is in a segment, whole. */
  #append(line: string): boolean {
    const { maxBytes } = this.#options;
    const segment = this.#segment ?? this.#begin();
    if (segment === undefined || !writeWhole(segment, line)) return false;
    this.#lines += line.split('\n').length - 1;
    if (segment.byteLength >= maxBytes) this.#complete();
    return true;
  }

  #begin(): OpenSegment | undefined {
    const { folder, facts } = this.#options;
    const path = join(folder, `${segmentName(facts, this.#number)}${OPEN}`);
    try {
      const segment = { fd: openSync(path, 'a'), path, byteLength: 0, startedMs: this.#now() };
      ftruncateSync(segment.fd);
      if (!writeWhole(segment, segmentLine(facts, this.#number, this.#lines))) {
        closeSync(segment.fd);
        return undefined;
      }
      this.#number++;
      this.#segment = segment;
      return segment;
    } catch {
      return undefined;
    }
  }

  /** Not before the bytes and the name are durable. */
  #complete(): void {
    const segment = this.#segment;
    if (segment === undefined) return;
    try {
      fsyncSync(segment.fd);
      renameSync(segment.path, `${segment.path.slice(0, -OPEN.length)}${COMPLETE}`);
      syncFolder(this.#options.folder);
    } catch {
      // It stays open, and the agent completes it when this process has ended.
    }
    closeSync(segment.fd);
    this.#segment = undefined;
  }
}

/** Leaves the file as it was where the disk takes only a part. */
function writeWhole(segment: OpenSegment, line: string): boolean {
  const bytes = Buffer.from(line);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(segment.fd, bytes, at);
    segment.byteLength += bytes.length;
    return true;
  } catch {
    ftruncateSync(segment.fd, segment.byteLength);
    return false;
  }
}
