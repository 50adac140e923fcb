/** Everything that a run needs: the machine, the monitor under test and the oracle, and how they are kept side by side. */
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { Attempts } from './attempts.ts';
import type { FaultAt } from './fault-at.ts';
import { expectEvents, spokenOf } from './expect-events.ts';
import { Guest, pagingOf } from './guest.ts';
import { isStateOf } from './inspect.ts';
import { Machine } from './machine.ts';
import { same } from './mismatch.ts';
import { type Change, NaiveMonitor, PAGE } from './naive-monitor.ts';
import { naiveWalk } from './naive-walk.ts';
import type { Program } from './program.ts';
import type { MakeSubject, Subject } from './subject.ts';

export interface RunOptions {
  readonly make: MakeSubject;
  /** A fault of the source during one of the calls (rule C9). */
  readonly fault?: FaultAt;
  /** Memory answers "not fetched yet" until it is fetched, anew for each operation. */
  readonly remote?: boolean;
}

export class Scene {
  readonly program: Program;
  readonly machine: Machine;
  readonly guest: Guest;
  readonly oracle: NaiveMonitor;
  readonly subject: Subject;
  readonly attempts: Attempts;
  /** Every answer of the monitor, as text: two runs of one program give the same (rule E7). */
  readonly log: string[] = [];
  events = 0;
  /** Memory changed, and nobody was told: until everything is compared, nobody can be right. */
  missed = false;
  /**
   * The monitor has read memory while writes were in flight that it has not processed yet. From then on, until nothing is in
   * flight, it may know more than the oracle expects, and is held to the rules instead of to one answer.
   */
  overlapped = false;
  /** What has happened in the middle of a call, and is told to the oracle when it is over. */
  #late: (() => void)[] = [];

  constructor(program: Program, { make, fault, remote }: RunOptions) {
    const paging = pagingOf(program);
    const entryBytes = program.mode === '32-bit' ? 4 : 8;
    const machine = new Machine(entryBytes, program.frames.slice(0, program.ram));
    const walk = (root: bigint, va: bigint) => naiveWalk(paging, (pa, bytes) => machine.peek(pa, bytes), root, va);
    this.program = program;
    this.machine = machine;
    this.guest = new Guest(program, walk);
    this.oracle = new NaiveMonitor(entryBytes, walk);
    for (let view = 0; view < program.views; view++) {
      const access = (program.access ?? []).filter(([its]) => its === view);
      const frames = access.map(([, frame, bits]) => [this.guest.frame(frame), bits] as const);
      machine.addView(view, frames);
    }
    if (remote === true) machine.fetched = new Set();
    this.attempts = new Attempts(machine, fault);
    this.subject = make({
      memory: machine,
      ...(program.source === 'trap' ? { protection: machine } : {}),
      paging,
      kinds: program.kinds ?? [],
      onFault: (failure) => this.attempts.onFault(failure),
    });
    this.attempts.subject = this.subject;
  }

  /** No write is in flight, and none was missed. */
  get isSettled(): boolean {
    return !this.missed && this.machine.busyVcpus().length === 0;
  }

  noteOverlap(): void {
    if (!this.isSettled || this.oracle.watchesGoneViews()) this.overlapped = true;
  }

  /** Makes a call, and where it succeeds, the oracle's; a call that fails under a lasting fault has not happened. */
  done(call: () => unknown, then: () => unknown): void {
    const answer = this.attempts.change(call);
    if (answer === undefined) return;
    const expected = then();
    same('R1', answer.value, expected, () => 'the answer');
    this.#catchUp();
    this.noteOverlap();
  }

  /** The same for a call that answers with events. @param vcpu the one that is processed, or null */
  say(call: () => MonitorEvent[], then: () => Change[], vcpu: number | null): void {
    const answer = this.attempts.change(call);
    if (answer === undefined) {
      if (vcpu === null) this.missed = true;
      return;
    }
    const exact = !this.overlapped;
    const peek = (pa: bigint) => this.machine.peek(pa, this.guest.entryBytes);
    const changes = then();
    if (!exact) changes.push(...this.#alsoBroughtToTruth(answer.value, changes));
    const events = answer.value.filter(({ view }) => !this.oracle.goneViews.has(view));
    const sure = changes.filter(({ watched }) => !this.oracle.goneViews.has(watched.view));
    expectEvents(events, sure, { vcpu, optIns: this.program.kinds ?? [], exact, peek });
    if (vcpu !== null) this.machine.committed(vcpu);
    this.#catchUp();
    this.noteOverlap();
    this.events += answer.value.length;
    // What is held of addresses in a view that is gone is anybody's guess.
    this.log.push(plainText(events));
  }

  afterCall(late: () => void): void {
    this.#late.push(late);
  }

  #catchUp(): void {
    for (const late of this.#late) late();
    this.#late = [];
  }

  /** Everything that a vCPU has in flight is in memory, and is processed. */
  commit(vcpu: number): void {
    this.machine.land(vcpu);
    const watched = this.overlapped ? this.watchedEntries() : undefined;
    this.say(
      () => this.subject.processDirtyEntries(vcpu),
      () => this.oracle.process(vcpu, watched),
      vcpu,
    );
  }

  /**
   * The entries that the monitor watches: those of the known walks. Where it has read memory while writes were in flight, it
   * may have moved on, towards the present walks, and is believed when it says how far.
   */
  watchedEntries(): Set<bigint> {
    if (!this.overlapped) return new Set([...this.oracle.entries().values()].flatMap((entries) => [...entries]));
    const { entryBytes } = this.guest;
    const { tables } = this.subject.dump();
    return new Set(tables.flatMap(({ pa, slots }) => slots.map((slot) => BigInt(pa + slot * entryBytes))));
  }

  /** Not canonical, or past the end of the address space (rule T3). */
  areOutside(root: bigint, pages: readonly bigint[]): boolean {
    return pages.some((page) => {
      const walk = this.oracle.walk(root, page);
      return page >= 1n << 64n || ('reason' in walk && walk.reason === 'non-canonical');
    });
  }

  /**
   * While writes are in flight, what the monitor has read for one address it may have learnt for others: more of them may be
   * brought to the truth than those that the vCPU surely touched. What is said of them must be true, and their state with it.
   */
  #alsoBroughtToTruth(events: readonly MonitorEvent[], surely: readonly Change[]): Change[] {
    const spoken = spokenOf(events);
    const also = this.oracle.pending().filter((change) => {
      if (surely.some(({ watched }) => watched === change.watched)) return false;
      const { view, root, va } = change.watched;
      const state = this.subject.state({ view, root, va });
      if (state === undefined) return false;
      return spoken(change) || (isStateOf(state, change.after!) && !isStateOf(state, change.before));
    });
    for (const change of also) this.oracle.accept(change);
    return also;
  }
}

/** As it is, key order included (rule E7). */
function plainText(events: readonly MonitorEvent[]): string {
  return JSON.stringify(events, (_key, part: unknown) => (typeof part === 'bigint' ? `0x${part.toString(16)}` : part));
}

/** Every page that [va, va + byteLength) touches; one more than `limit` where there are more. */
export function pagesOf(va: bigint, byteLength: number, limit: number): bigint[] {
  const pages: bigint[] = [];
  for (let page = va - (va % PAGE); page < va + BigInt(byteLength) && pages.length <= limit; page += PAGE) {
    pages.push(page);
  }
  return pages;
}
