/**
 * Events over time. Each watched page has a track, below its process or tag, that shows the frame behind it. Other tracks show the
 * entries that changed, the number of backed pages, and the rate of events.
 */
import { hex } from '../../core/address/va.ts';
import type { Cause, MonitorEvent, PageEvent } from '../../core/monitor/events.ts';
import { bytesText, entryName } from '../console/event-row.ts';
import type { Sink } from '../sink.ts';
import type { TextOutput } from '../text-output.ts';
import type { TimelineFacts, TimelineWriter } from './timeline-writer.ts';

const PAGE_BYTES = 4096n;
/** The interval over which events are counted. */
const RATE_US = 100_000;
/** Events per write: each write is a system call. */
const EVENTS_A_WRITE = 64;
/** More tracks than this slow the programs that show them to a halt. */
const MAX_TRACKS = 10_000;

/** A page that was backed before the first event. */
export interface BackedPage {
  readonly view?: number;
  readonly root: number;
  readonly va: bigint;
  readonly pa: number;
  readonly pageSize: number;
  readonly tags: MonitorEvent['tags'];
}

export interface TimelineOptions {
  readonly output: TextOutput;
  readonly writer: TimelineWriter;
  /** Returns the time of the recording, in microseconds. */
  readonly timeUs: () => number;
  /** Returns the number of watched pages that are backed. Called now and then. */
  readonly backedPages: () => number;
}

export interface TimelineSink extends Sink {
  /** Call it once, when the first watches are set: shows the pages that are backed from the beginning. */
  start(pages: Iterable<BackedPage>): void;
  note(text: string, timeUs: number): void;
  /** Events of pages without a track, because of the limit of tracks. */
  readonly leftOut: number;
}

export function timelineSink(options: TimelineOptions): TimelineSink {
  return new Timeline(options);
}

interface Group {
  readonly id: number;
  readonly causes: number;
}

class Timeline implements TimelineSink {
  readonly #output: TextOutput;
  readonly #writer: TimelineWriter;
  readonly #timeUs: () => number;
  readonly #backedPages: () => number;
  readonly #groups = new Map<string, Group>();
  readonly #tracks = new Map<string, number>();
  readonly #open = new Set<number>();
  /** By track, the time of its last page-out. */
  readonly #lastUs = new Map<number, number>();
  #lastId = 0;
  #notes: number | undefined;
  #lastCause: Cause | null = null;
  #rateStartUs = 0;
  #inRate = 0;
  #untaken = 0;
  leftOut = 0;

  constructor({ output, writer, timeUs, backedPages }: TimelineOptions) {
    this.#output = output;
    this.#writer = writer;
    this.#timeUs = timeUs;
    this.#backedPages = backedPages;
    writer.counter(BACKED, 'pages in memory');
    writer.counter(RATE, 'events a second');
  }

  start(pages: Iterable<BackedPage>): void {
    this.#writer.count(BACKED, 0, this.#backedPages());
    this.#writer.count(RATE, 0, 0);
    for (const page of pages) this.#pageIn(page, page.va, page, 0);
  }

  write(event: MonitorEvent): void | Promise<void> {
    const timeUs = this.#timeUs();
    this.#countTo(timeUs);
    this.#inRate++;
    this.#addCause(event, timeUs);
    if (event.kind === 'page-in' || event.kind === 'page-out') this.#addPages(event, timeUs);
    if (++this.#untaken < EVENTS_A_WRITE) return;
    this.#untaken = 0;
    return this.#output.write(this.#writer.take());
  }

  note(text: string, timeUs: number): void {
    this.#notes ??= this.#newTrack(this.#groupOf('the guest', undefined).id, 'notes');
    this.#writer.instant(this.#notes, timeUs, text, {});
  }

  async end(): Promise<void> {
    const timeUs = this.#timeUs();
    this.#countTo(timeUs + RATE_US);
    for (const track of this.#open) this.#writer.end(track, timeUs);
    this.#writer.finish();
    await this.#output.write(this.#writer.take());
    await this.#output.flush();
  }

  #addPages(event: PageEvent, timeUs: number): void {
    const { kind, va, pa, pages, pageSize } = event;
    const shown = Math.min(pages, MAX_TRACKS);
    this.leftOut += pages - shown;
    for (let page = 0; page < shown; page++) {
      const at = va + BigInt(page) * PAGE_BYTES;
      if (kind === 'page-in') this.#pageIn(event, at, { pa: pa + page * Number(PAGE_BYTES), pageSize }, timeUs);
      else this.#pageOut(event, at, timeUs);
    }
  }

  #pageIn(of: Owner, va: bigint, { pa, pageSize }: Frame, timeUs: number): void {
    const track = this.#trackOf(of, va);
    if (track === undefined) return;
    if (this.#open.has(track)) this.#writer.end(track, timeUs);
    this.#open.add(track);
    this.#writer.begin(track, timeUs, `${hex(pa)} ${bytesText(pageSize)}`, { frame: hex(pa), pageSize });
  }

  #pageOut(of: Owner, va: bigint, timeUs: number): void {
    const track = this.#trackOf(of, va);
    if (track === undefined) return;
    // Its page-in was not recorded: it came after the watch began, or after the last page-out.
    if (!this.#open.delete(track)) this.#writer.begin(track, this.#lastUs.get(track) ?? 0, 'in memory', {});
    this.#writer.end(track, timeUs);
    this.#lastUs.set(track, timeUs);
  }

  /** One entry may cause many events, as for a huge page: it is shown once. */
  #addCause(event: MonitorEvent, timeUs: number): void {
    const { cause } = event;
    const group = this.#groupOf(...groupNameOf(event));
    const isKnown = cause !== null && this.#lastCause !== null && isSame(cause, this.#lastCause);
    if (isKnown && event.kind !== 'root-gone') return;
    this.#lastCause = cause;
    const name =
      cause === null ? 'root gone' : `${entryName(cause.level)} ${hex(cause.oldValue)} → ${hex(cause.newValue)}`;
    this.#writer.instant(group.causes, timeUs, name, factsOf(event));
  }

  /** Brings the counters up to a time. */
  #countTo(timeUs: number): void {
    if (timeUs < this.#rateStartUs + RATE_US) return;
    this.#writer.count(RATE, this.#rateStartUs, Math.round((this.#inRate * 1e6) / RATE_US));
    this.#writer.count(BACKED, this.#rateStartUs + RATE_US, this.#backedPages());
    const next = timeUs - (timeUs % RATE_US);
    if (next > this.#rateStartUs + RATE_US) this.#writer.count(RATE, this.#rateStartUs + RATE_US, 0);
    this.#rateStartUs = next;
    this.#inRate = 0;
  }

  #trackOf(of: Owner, va: bigint): number | undefined {
    const [name, pid] = groupNameOf(of);
    const { view = 0 } = of;
    const key = `${name} ${view} ${of.root} ${va}`;
    const known = this.#tracks.get(key);
    if (known !== undefined) return known;
    if (this.#tracks.size >= MAX_TRACKS) {
      this.leftOut++;
      return undefined;
    }
    const track = this.#newTrack(
      this.#groupOf(name, pid).id,
      [hex(va), ...partsOf(of), ...(view === 0 ? [] : [`view ${view}`])].join(' '),
    );
    this.#tracks.set(key, track);
    return track;
  }

  #groupOf(name: string, pid: number | undefined): Group {
    // exec() changes the name of a process, not its PID.
    const key = pid === undefined ? name : `pid ${pid}`;
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const id = ++this.#lastId;
    this.#writer.group(id, name, pid);
    const group = { id, causes: this.#newTrack(id, 'causes') };
    this.#groups.set(key, group);
    return group;
  }

  #newTrack(group: number, name: string): number {
    const track = ++this.#lastId;
    this.#writer.track(track, group, name);
    return track;
  }
}

const BACKED = 1;
const RATE = 2;

interface Frame {
  readonly pa: number;
  readonly pageSize: number;
}

interface Owner {
  readonly view?: number;
  readonly root: number;
  readonly tags: MonitorEvent['tags'];
}

/** `nginx[12]` and 12 for the tag `nginx[12]:heap`; the whole tag, if it has another form; the root without a tag. */
function groupNameOf({ tags, root }: Owner): [name: string, pid: number | undefined] {
  const tag = tags[0];
  if (tag === undefined) return [`root ${hex(root)}`, undefined];
  const process = /^[^:]*\[(\d+)\]/.exec(String(tag));
  const pid = Number(process?.[1] ?? NaN);
  // A PID of Linux has at most 22 bits (PID_MAX_LIMIT), and the formats have room for 31. Other tags may look alike.
  return process === null || pid >= 2 ** 31 ? [String(tag), undefined] : [process[0], pid];
}

/** What the tags contain beside the group: `heap` of `nginx[12]:heap`, or of `nginx[12]` and `heap`. */
function partsOf({ tags }: Owner): string[] {
  return tags.flatMap((tag, index) => /:(.+)$/.exec(String(tag))?.[1] ?? (index === 0 ? [] : String(tag)));
}

function factsOf(event: MonitorEvent): TimelineFacts {
  const { kind, va, cause, vcpu, tags } = event;
  return {
    kind,
    va: hex(va),
    tags: tags.join(', '),
    ...('pages' in event && { pages: event.pages }),
    ...(cause && { entry: hex(cause.entryPa), level: cause.level }),
    ...(vcpu !== null && { vcpu }),
  };
}

function isSame(a: Cause, b: Cause): boolean {
  return a.entryPa === b.entryPa && a.newValue === b.newValue && a.oldValue === b.oldValue;
}
