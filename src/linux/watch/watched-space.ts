/** The memory of a process that is watched: all of it, or the part that is wanted and where more of it may come to be. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import { carryOut, type StepwiseCall } from '../../driver/carry-out.ts';
import type { LinuxGuest } from '../linux-guest.ts';
import type { TaskBrief } from '../process/task-reader.ts';
import { NamedAreas } from './named-areas.ts';
import { joined, type Range, without } from './ranges.ts';
import type { MapChoice } from './selection.ts';

/** Of a session, what watching a process takes. */
export interface WatchingSession {
  readonly monitor: {
    unmonitorRangeInSteps(request: RangeRequest): StepwiseCall<unknown>;
  };
  watch(request: RangeRequest & { readonly tag: string; readonly runs: boolean }): Promise<unknown>;
}

interface RangeRequest {
  readonly root: number;
  readonly va: bigint;
  readonly byteLength: bigint;
  readonly tag?: string;
}

export interface SpaceOptions {
  readonly linux: LinuxGuest;
  readonly session: WatchingSession;
  readonly choice: MapChoice | undefined;
  readonly owner?: string | undefined;
}

export class WatchedSpace {
  /** Physical address of the top-level table, the kernel's. */
  readonly root: number;
  /** Address of the `mm_struct`. */
  readonly mm: bigint;
  /** Of its processes, by their numbers: when they began. More than one where a process shares its memory (vfork). */
  readonly #owners = new Map<number, bigint>();
  #pid = 0;
  #comm = '';
  readonly #owner: string | undefined;
  readonly #session: WatchingSession;
  readonly #areas: NamedAreas;
  readonly #isWhole: boolean;
  readonly #lowerHalf: Range;
  #ranges: readonly Range[] = [];
  /** Areas of no interest at the last look. */
  #unwanted: readonly Range[] = [];
  /** Of the ranges, those that are of no interest since the last look. */
  #leaving: readonly Range[] = [];

  constructor({ linux, session, choice, owner: label }: SpaceOptions, root: number, owner: TaskBrief) {
    this.root = root;
    this.mm = owner.mm;
    this.#owner = label;
    this.add(owner);
    this.name(owner);
    this.#session = session;
    this.#areas = new NamedAreas(linux, owner.mm, choice);
    this.#isWhole = choice === undefined;
    this.#lowerHalf = { start: 0n, end: linux.kernel.userEnd };
  }

  /** The process that has it: `nginx[12]`. */
  get tag(): string {
    return `${this.#comm}[${this.#pid}]`;
  }

  /** Another process has it, too. */
  add({ pid, startTime }: TaskBrief): void {
    this.#owners.set(pid, startTime);
  }

  /** Whether a process is one of those that were met with it. */
  isOf({ pid, startTime }: TaskBrief): boolean {
    return this.#owners.get(pid) === startTime;
  }

  /** The process has this name now. */
  name({ pid, command }: TaskBrief): void {
    this.#pid = pid;
    this.#comm = command;
  }

  /**
   * Watches what is to be watched now: everything but the areas that are not wanted. What is between areas costs nothing, since there
   * are no tables, and there the next page of one that grows appears, or of one that is new.
   */
  async refresh(): Promise<void> {
    if (!this.#isWhole) await this.#areas.read();
    const unwanted = this.#isWhole ? [] : this.#areas.unwanted;
    const wanted = without([this.#lowerHalf], unwanted);
    // Linux takes an area away before its pages. Where one was that is not wanted, they may be there until the next look; before another
    // area comes there, there is a look.
    const vacated = without(without(this.#unwanted, unwanted), this.#areas.wanted);
    this.#unwanted = unwanted;
    for (const range of without(without(wanted, vacated), this.#ranges)) {
      await this.#session.watch({ ...this.#request(range), tag: this.#monitorTag, runs: true });
      this.#ranges = joined([...this.#ranges, range]);
    }
    // What was there before another area took its place may be said to have gone only after this look.
    const needless = without(this.#ranges, wanted);
    const staying = without(needless, this.#leaving);
    for (const range of without(needless, staying)) await this.#release(range);
    this.#leaving = staying;
  }

  /** For its pages that are there already: their area may go before they do. */
  async nameAreas(): Promise<void> {
    if (this.#isWhole) await this.#areas.read();
  }

  /** Watches nothing of it any more. */
  async release(): Promise<void> {
    for (const range of this.#ranges) await this.#release(range);
  }

  /** What its ranges are called in the monitor. */
  get #monitorTag(): string {
    return this.#owner ?? this.tag;
  }

  /** Whether an event of this address space is about a range that this watch retains. */
  isOwn({ tags }: MonitorEvent): boolean {
    return this.#owner === undefined || tags.includes(this.#owner);
  }

  /** The event with the names of areas; nothing for areas that are not wanted. */
  label(event: MonitorEvent): Promise<readonly MonitorEvent[]> {
    return this.#areas.label(event, { pid: this.#pid, comm: this.#comm });
  }

  async #release(range: Range): Promise<void> {
    const tag = this.#owner === undefined ? {} : { tag: this.#owner };
    await carryOut(this.#session.monitor.unmonitorRangeInSteps({ ...this.#request(range), ...tag }));
    this.#ranges = without(this.#ranges, [range]);
    this.#areas.forget(range);
  }

  #request({ start, end }: Range): RangeRequest {
    return { root: this.root, va: start, byteLength: end - start };
  }
}
