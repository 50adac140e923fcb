/**
 * The output of a watch: its lines, in segments on the disk. What cannot be written is counted and becomes a gap. From its first line to its
 * end, a session has an open segment, also between two complete ones: who finds one knows that the process did not end by itself.
 */
import { closeSync, fsyncSync, ftruncateSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { makeFolder } from '../../driver/make-folder.ts';
import { RateLimit } from './rate-limit.ts';
import { COMPLETE, gapLine, OPEN, type SegmentFacts, segmentLine, segmentName, syncFolder } from './segment.ts';

export interface JournalOptions {
  readonly folder: string;
  readonly facts: SegmentFacts;
  /** A segment is complete after this time, or at this size. */
  readonly maxMs: number;
  readonly maxBytes: number;
  readonly maxEventsPerSecond?: number | undefined;
  /** Milliseconds of a clock that nobody sets; defaults to that of the process. */
  readonly now?: () => number;
}

interface OpenSegment {
  readonly fd: number;
  readonly path: string;
  byteLength: number;
  /** Of its first line about the guest; undefined while there is none. */
  startedMs: number | undefined;
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
  /** Lines that are no events, such as the end, and that no gap tells yet. */
  #lostOthers = false;

  constructor(options: JournalOptions) {
    super({ decodeStrings: false });
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    const { maxEventsPerSecond } = options;
    if (maxEventsPerSecond !== undefined) this.#limit = new RateLimit(maxEventsPerSecond, this.#now);
    makeFolder(options.folder);
  }

  get counts(): JournalCounts {
    return { events: this.#events, limited: this.#limited.all, unwritten: this.#unwritten.all };
  }

  /** Completes a segment that is old enough. Called from time to time. */
  tick(): void {
    const { maxMs } = this.#options;
    this.#tellGaps();
    const startedMs = this.#segment?.startedMs ?? Infinity;
    if (this.#now() - startedMs >= maxMs) this.#complete();
  }

  override _write(chunk: string | Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.#take(chunk.toString());
    done();
  }

  /** A disk that is full holds the end up until it has room for the count of what is missing. */
  override _final(done: (error?: Error) => void): void {
    this.#tellGaps(true);
    if (this.#limited.untold + this.#unwritten.untold > 0 || this.#lostOthers) {
      setTimeout(() => this._final(done), GAP_MS);
      return;
    }
    this.#completeLast();
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
    if (!isWritten && isEvent) this.#miss(this.#unwritten);
    else if (!isWritten) this.#lostOthers = true;
    else if (isEvent) this.#events++;
  }

  /** Under a rate limit, one gap for each second; the numbers of the events (`seq`) show which are missing. */
  #tellGaps(isEnd = false): void {
    const isDue = isEnd || this.#now() - this.#limited.sinceMs >= GAP_MS;
    if (isDue && this.#limited.untold > 0) this.#tell(this.#limited, 'rate limit');
    if (this.#unwritten.untold > 0 || this.#lostOthers) {
      this.#lostOthers = !this.#tell(this.#unwritten, 'the disk did not take them');
    }
  }

  #tell(count: Missing, reason: string): boolean {
    if (!this.#append(gapLine(count.untold, reason))) return false;
    count.untold = 0;
    return true;
  }

  #miss(count: Missing): void {
    if (count.untold === 0) count.sinceMs = this.#now();
    count.all++;
    count.untold++;
  }

  /** Returns whether the line is in a segment, whole. */
  #append(line: string): boolean {
    const { maxBytes } = this.#options;
    const segment = (this.#segment ??= this.#begin());
    if (segment === undefined || !writeWhole(segment, line)) return false;
    segment.startedMs ??= this.#now();
    this.#lines += line.split('\n').length - 1;
    if (segment.byteLength >= maxBytes) this.#complete();
    return true;
  }

  #begin(): OpenSegment | undefined {
    const { folder, facts } = this.#options;
    const path = join(folder, `${segmentName(facts, this.#number)}${OPEN}`);
    try {
      const segment: OpenSegment = { fd: openSync(path, 'a'), path, byteLength: 0, startedMs: undefined };
      ftruncateSync(segment.fd);
      if (writeWhole(segment, segmentLine(facts, this.#number, this.#lines))) {
        this.#number++;
        return segment;
      }
      closeSync(segment.fd);
    } catch {
      // The disk is full, or the folder is gone: the next line tries again.
    }
    return undefined;
  }

  /** Where there is no room for the next segment, this one stays open. */
  #complete(): void {
    const segment = this.#segment;
    const next = segment && this.#begin();
    if (segment === undefined || next === undefined) return;
    this.#segment = next;
    this.#seal(segment);
  }

  #completeLast(): void {
    const segment = this.#segment;
    this.#segment = undefined;
    if (segment === undefined) return;
    if (segment.startedMs !== undefined) return this.#seal(segment);
    closeSync(segment.fd);
    rmSync(segment.path, { force: true });
  }

  /** Not before the bytes and the name are durable. */
  #seal({ fd, path }: OpenSegment): void {
    try {
      fsyncSync(fd);
      renameSync(path, `${path.slice(0, -OPEN.length)}${COMPLETE}`);
      syncFolder(this.#options.folder);
    } catch {
      // It stays open, and the agent completes it when this process has ended.
    }
    closeSync(fd);
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
