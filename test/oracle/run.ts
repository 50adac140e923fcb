/** Runs a program on a machine, with a monitor and the oracle side by side, and compares them after every operation. */
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { Attempts, type FaultAt } from './attempts.ts';
import { expectEvents, spokenOf } from './expect-events.ts';
import { type ByteWrite, Guest, pagingOf } from './guest.ts';
import {
  inspectAlways,
  inspectCounts,
  inspectDump,
  inspectProtections,
  inspectTruth,
  inspectWalk,
  isStateOf,
} from './inspect.ts';
import { Machine, type SourceCall } from './machine.ts';
import { Mismatch, same, text } from './mismatch.ts';
import { type Change, frameOf, NaiveMonitor, PAGE, type Watched } from './naive-monitor.ts';
import { naiveWalk } from './naive-walk.ts';
import type { Op, Program } from './program.ts';
import { Random } from './random.ts';
import type { MakeSubject, Subject } from './subject.ts';

export interface RunOptions {
  readonly make: MakeSubject;
  /** A fault of the source during one of the calls (rule C9). */
  readonly fault?: FaultAt;
  /** Memory answers "not fetched yet" until it is fetched, anew for each operation. */
  readonly remote?: boolean;
}

export interface RunResult {
  readonly ops: number;
  readonly events: number;
  /** Addresses that were compared, over the whole run: what the oracle's work is made of. */
  readonly work: number;
  /** Every answer of the monitor, as text: two runs of one program give the same (rule E7). */
  readonly log: readonly string[];
  /** How often each call to the monitor asked the source for what. */
  readonly sourceCalls: readonly Readonly<Record<SourceCall, number>>[];
}

/** More pages than this in one range, and the oracle is too slow: the operation is skipped. */
const MAX_PAGES = 1100;

/** @throws Mismatch where the monitor and the oracle disagree */
export function runProgram(program: Program, options: RunOptions): RunResult {
  return new Run(program, options).run();
}

class Run {
  readonly #program: Program;
  readonly #machine: Machine;
  readonly #guest: Guest;
  readonly #oracle: NaiveMonitor;
  readonly #subject: Subject;
  readonly #attempts: Attempts;
  readonly #log: string[] = [];
  #events = 0;
  #work = 0;
  /** Memory changed, and nobody was told: until everything is compared, nobody can be right. */
  #missed = false;
  /** The monitor has read memory while writes were in flight that it has not processed yet. */
  #overlapped = false;

  constructor(program: Program, options: RunOptions) {
    const paging = pagingOf(program);
    const ram = program.frames.slice(0, program.ram);
    const entryBytes = program.mode === '32-bit' ? 4 : 8;
    const machine = new Machine(entryBytes, ram);
    const walk = (root: bigint, va: bigint) => naiveWalk(paging, (pa, bytes) => machine.peek(pa, bytes), root, va);
    this.#program = program;
    this.#machine = machine;
    this.#guest = new Guest(program, walk);
    this.#oracle = new NaiveMonitor(entryBytes, walk);
    for (let view = 0; view < program.views; view++) {
      const access = (program.access ?? []).filter(([its]) => its === view);
      machine.addView(
        view,
        access.map(([, frame, bits]) => [this.#guest.frame(frame), bits]),
      );
    }
    if (options.remote === true) machine.fetched = new Set();
    this.#attempts = new Attempts(machine, options.fault);
    this.#subject = options.make({
      memory: machine,
      ...(program.source === 'trap' ? { protection: machine } : {}),
      paging,
      kinds: program.kinds ?? [],
      onFault: (fault) => this.#attempts.onFault(fault),
    });
    this.#attempts.subject = this.#subject;
  }

  run(): RunResult {
    const { ops } = this.#program;
    ops.forEach((op, index) => this.#step(`op ${index} ${text(op)}`, index, () => this.#exec(op)));
    this.#finish();
    return {
      ops: ops.length,
      events: this.#events,
      work: this.#work,
      log: this.#log,
      sourceCalls: this.#attempts.sourceCalls,
    };
  }

  #step(name: string, index: number, act: () => void): void {
    try {
      this.#machine.fetched?.clear();
      act();
      this.#inspect(index);
    } catch (error) {
      const mismatch = error instanceof Mismatch ? error : new Mismatch('C8', String((error as Error).stack));
      throw mismatch.at(`at ${name}`);
    }
  }

  #inspect(index: number): void {
    const { source } = this.#program;
    const settled = this.#isSettled();
    this.#work += this.#oracle.watched.size;
    const counted = settled && !this.#oracle.watchesGoneViews();
    if (counted) this.#overlapped = false;
    if (settled) inspectTruth(this.#machine, this.#oracle, source === 'trap');
    if (this.#attempts.isBeforeFault) return;
    const kinds = this.#program.kinds ?? [];
    const told = { pageSize: kinds.includes('restructure'), rights: kinds.includes('protection') };
    inspectAlways(this.#subject, this.#oracle, this.#overlapped ? told : { pageSize: true, rights: true });
    if (counted) inspectCounts(this.#subject, this.#oracle);
    if (settled && source === 'trap') {
      inspectProtections(this.#machine, this.#oracle, this.#program, this.#attempts.unrestored);
    }
    if (index % 4 === 0)
      inspectDump(this.#subject, this.#machine, this.#oracle, source, { settled: counted, exact: !this.#overlapped });
    if (index % 4 === 1) this.#inspectAnyAddress(index);
  }

  /** Watched or not: `explain` and `state` answer. */
  #inspectAnyAddress(index: number): void {
    const [view, root, va] = [index % 3, this.#guest.root(index >> 2), this.#guest.va(index >> 3)];
    if (this.#areOutside(root, [va])) return;
    const explained = this.#attempts.ask(() => this.#subject.explain({ view, root, va }));
    inspectWalk(explained.walk, this.#oracle.walk(root, va));
    const state = this.#subject.state({ view, root, va });
    same('C1', explained.state, state, () => 'the state that explain shows');
    same(
      'R1',
      state !== undefined,
      this.#oracle.get(view, root, va) !== undefined,
      () => `whether 0x${va.toString(16)} is watched`,
    );
  }

  #exec(op: Op): void {
    switch (op.k) {
      case 'land':
        return this.#machine.land(op.c, op.n);
      case 'commit':
        return this.#commit(op.c);
      case 'dma':
        return this.#dma(op);
      case 'use':
        for (const [pa, bytes] of this.#guest.usedBits(op)) this.#machine.poke(pa, bytes);
        return;
      case 'race':
        return this.#race(op);
      case 'monitor':
      case 'range':
        return this.#watch(op);
      case 'unmonitor':
      case 'unrange':
      case 'force':
        return this.#release(op);
      case 'unview':
        return this.#done(
          () => this.#subject.unmonitorView(op.g),
          () => this.#oracle.unmonitorView(op.g),
        );
      case 'unall':
        return this.#done(
          () => this.#subject.unmonitorAll(),
          () => this.#oracle.unmonitorAll(),
        );
      case 'gone': {
        const root = this.#guest.root(op.r);
        const call = () =>
          op.g === undefined
            ? this.#subject.rootGone(this.#cr3(root, op.x))
            : this.#subject.rootGone(this.#cr3(root, op.x), op.g);
        this.#say(call, () => this.#oracle.rootGone(root, op.g), null);
        return;
      }
      case 'resync':
        if (op.g === undefined) this.#missed = false;
        this.#say(
          () => (op.g === undefined ? this.#subject.resync() : this.#subject.resync(op.g)),
          () => this.#oracle.resync(op.g),
          null,
        );
        return;
      case 'newview':
        if (this.#machine.hasView(op.g) || [...this.#oracle.watched.values()].some(({ view }) => view === op.g)) return;
        // A restoration that waits for its next chance belongs to the view that is gone.
        if ([...this.#attempts.unrestored].some((key) => key.startsWith(`${op.g}:`))) return;
        this.#oracle.goneViews.delete(op.g);
        return this.#machine.addView(op.g);
      case 'killview':
        if (this.#program.source !== 'trap') return;
        this.#machine.removeView(op.g);
        this.#oracle.goneViews.add(op.g);
        this.#noteOverlap();
        return;
      default:
        for (const write of this.#guest.writesOf(op)) this.#write(op.c, op.g ?? 0, write, op.w);
    }
  }

  /** Makes a call, and where it succeeds, the oracle's; a call that fails under a lasting fault has not happened. */
  #done(call: () => unknown, then: () => unknown): void {
    const answer = this.#attempts.change(call);
    if (answer === undefined) return;
    const expected = then();
    same('R1', answer.value, expected, () => 'the answer');
    this.#noteOverlap();
  }

  #say(call: () => MonitorEvent[], then: () => Change[], vcpu: number | null): void {
    const answer = this.#attempts.change(call);
    if (answer === undefined) {
      if (vcpu === null) this.#missed = true;
      return;
    }
    const exact = !this.#overlapped;
    const peek = (pa: bigint) => this.#machine.peek(pa, this.#guest.entryBytes);
    const changes = then();
    if (!exact) changes.push(...this.#alsoBroughtToTruth(answer.value, changes));
    const events = answer.value.filter(({ view }) => !this.#oracle.goneViews.has(view));
    const sure = changes.filter(({ watched }) => !this.#oracle.goneViews.has(watched.view));
    expectEvents(events, sure, { vcpu, optIns: this.#program.kinds ?? [], exact, peek });
    if (vcpu !== null) this.#machine.committed(vcpu);
    this.#noteOverlap();
    this.#events += answer.value.length;
    this.#log.push(
      JSON.stringify(answer.value, (_key, part: unknown) =>
        typeof part === 'bigint' ? `0x${part.toString(16)}` : part,
      ),
    );
  }

  /**
   * While writes are in flight, what the monitor has read for one address it may have learnt for others: more of them may be
   * brought to the truth than those that the vCPU surely touched. What is said of them must be true, and their state with it.
   */
  #alsoBroughtToTruth(events: readonly MonitorEvent[], surely: readonly Change[]): Change[] {
    const spoken = spokenOf(events);
    const also = this.#oracle.pending().filter((change) => {
      if (surely.some(({ watched }) => watched === change.watched)) return false;
      const { view, root, va } = change.watched;
      const state = this.#subject.state({ view, root, va });
      if (state === undefined) return false;
      return spoken(change) || (isStateOf(state, change.after!) && !isStateOf(state, change.before));
    });
    for (const change of also) this.#oracle.accept(change);
    return also;
  }

  #isSettled(): boolean {
    return !this.#missed && this.#machine.busyVcpus().length === 0;
  }

  #noteOverlap(): void {
    if (!this.#isSettled() || this.#oracle.watchesGoneViews()) this.#overlapped = true;
  }

  #commit(vcpu: number): void {
    this.#machine.land(vcpu);
    const watched = this.#overlapped ? this.#watchedEntries() : undefined;
    this.#say(
      () => this.#subject.processDirtyEntries(vcpu),
      () => this.#oracle.process(vcpu, watched),
      vcpu,
    );
  }

  /** A vCPU writes: what traps stays in flight, what does not is in memory at once. */
  #write(vcpu: number, preferredView: number, [pa, bytes]: ByteWrite, when: number): void {
    const parts = this.#machine.byFrame(pa, bytes).filter(([at]) => this.#machine.isRam(Math.floor(at / 4096)));
    if (parts.length === 0) return;
    const { source } = this.#program;
    const watched = this.#watchedEntries();
    const tables = new Set([...watched].map((pa) => Number(frameOf(pa))));
    const isTable = (gfn: number) =>
      tables.has(gfn) ||
      this.#attempts.isUnrestored(gfn) ||
      this.#machine.views().some((view) => this.#machine.access(view, gfn) !== this.#machine.originalAccess(view, gfn));
    const traps = (gfn: number) =>
      source === 'trap' ? this.#machine.trappingView(gfn, preferredView) !== undefined : isTable(gfn);
    const trapping = parts.find(([at]) => traps(Math.floor(at / 4096)));
    if (source === 'poll' || trapping === undefined) {
      this.#machine.land(vcpu);
      if (source === 'poll') this.#unseen(parts);
      else for (const [at, part] of parts) this.#machine.poke(at, part);
      return;
    }

    const [from, to] = [parts[0]![0], parts.at(-1)![0] + parts.at(-1)![1].length];
    const view = this.#machine.trappingView(Math.floor(trapping[0] / 4096), preferredView) ?? preferredView;
    const entries = this.#oracle.entriesIn(BigInt(from), to - from);
    const oneEntry = entries.length === 1 && (from >> 4) % 2 === 0;
    const answer = oneEntry
      ? this.#subject.markDirtyEntry(from, view, vcpu)
      : this.#subject.markDirty(from, to - from, view, vcpu);
    const monitored = entries.some((entry) => watched.has(entry));
    const what = () => `whether the write of ${to - from} bytes at 0x${from.toString(16)} is to a monitored entry`;
    same('C5', answer, monitored, what);
    this.#oracle.mark(
      entries.filter((entry) => isTable(Number(frameOf(entry)))),
      vcpu,
    );
    const held = parts.filter(([at]) => isTable(Math.floor(at / 4096)) && traps(Math.floor(at / 4096)));
    const direct = parts.filter((part) => !held.includes(part));
    if (direct.length > 0) this.#machine.land(vcpu);
    for (const [at, part] of direct) this.#machine.poke(at, part);
    for (const [at, part] of held) this.#machine.trap(vcpu, at, part);
    if (when >= 1) this.#machine.land(vcpu);
    if (when >= 2) this.#commit(vcpu);
  }

  /**
   * The entries that the monitor watches: those of the known walks. Where it has read memory while writes were in flight, it
   * may have moved on, towards the present walks, and is believed when it says how far.
   */
  #watchedEntries(): Set<bigint> {
    if (!this.#overlapped) return new Set([...this.#oracle.entries().values()].flatMap((entries) => [...entries]));
    const { entryBytes } = this.#guest;
    const { tables } = this.#subject.dump();
    return new Set(tables.flatMap(({ pa, slots }) => slots.map((slot) => BigInt(pa + slot * entryBytes))));
  }

  #unseen(writes: readonly ByteWrite[]): void {
    for (const [pa, bytes] of writes) this.#machine.poke(pa, bytes);
    this.#missed = true;
  }

  /** A device writes and nobody traps it: the source says that something was missed, and everything is compared. */
  #dma(op: Op & { readonly k: 'dma' }): void {
    if (this.#attempts.mayFailForLong) return;
    this.#unseen([[this.#guest.slotPa(op.f, op.s), this.#guest.bytes(this.#guest.value(op.v))]]);
    if (this.#program.source !== 'poll') this.#exec({ k: 'resync' });
  }

  #race(op: Op & { readonly k: 'race' }): void {
    const [pa, bytes] = [this.#guest.slotPa(op.f, op.s), this.#guest.bytes(this.#guest.value(op.v))];
    this.#machine.beforeProtect = (gfn) => {
      if (gfn !== this.#guest.frame(op.f) || this.#machine.trappingView(gfn, 0) !== undefined) return;
      this.#machine.beforeProtect = undefined;
      this.#machine.poke(pa, bytes);
    };
  }

  #watch(op: Op & { readonly k: 'monitor' | 'range' }): void {
    const { view, root, va, request } = this.#request(op);
    const pages = op.k === 'range' ? pagesOf(va, op.n) : [va];
    if (pages.length > MAX_PAGES) return;
    if (this.#areOutside(root, pages))
      return this.#attempts.refused('T3', ['non-canonical', 'bad-argument'], () => this.#callWatch(op, request));
    if (this.#program.source === 'trap' && !this.#machine.hasView(view)) {
      // Nothing to protect, or protected since before the view went: either answer is right.
      if ([...this.#oracle.watched.values()].some((one) => one.view === view)) return;
      if (pages.some((page) => this.#oracle.walk(root, page).entries.length === 0)) return;
      return this.#attempts.refused('C9', ['no-such-view'], () => this.#callWatch(op, request));
    }
    this.#done(
      () => this.#callWatch(op, request),
      () =>
        op.k === 'range'
          ? this.#oracle.monitorRange(view, root, pages, op.t, op.runs === true)
          : this.#oracle.monitor(view, root, va, op.t),
    );
  }

  #callWatch(op: Op & { readonly k: 'monitor' | 'range' }, request: Parameters<Subject['monitor']>[0]): void {
    if (op.k === 'monitor') return this.#subject.monitor(request);
    this.#subject.monitorRange({ ...request, byteLength: op.n, ...(op.runs === undefined ? {} : { runs: op.runs }) });
  }

  #release(op: Op & { readonly k: 'unmonitor' | 'unrange' | 'force' }): void {
    const { view, root, va, request } = this.#request(op);
    if (op.k === 'unrange') {
      const pages = pagesOf(va, op.n);
      if (pages.length > MAX_PAGES || this.#areOutside(root, pages)) return;
      return this.#done(
        () => this.#subject.unmonitorRange({ ...request, byteLength: op.n }),
        () => this.#oracle.unmonitorRange(view, root, pages, op.t),
      );
    }
    if (this.#areOutside(root, [va])) return;
    if (op.k === 'force') {
      return this.#done(
        () => this.#subject.unmonitorByForce({ view, root: request.root, va }),
        () => this.#oracle.unmonitorByForce(view, root, va),
      );
    }
    this.#done(
      () => this.#subject.unmonitor(request),
      () => this.#oracle.unmonitor(view, root, va, op.t),
    );
  }

  /** Not canonical, or past the end of the address space (rule T3). */
  #areOutside(root: bigint, pages: readonly bigint[]): boolean {
    return pages.some((page) => {
      const walk = this.#oracle.walk(root, page);
      return page >= 1n << 64n || ('reason' in walk && walk.reason === 'non-canonical');
    });
  }

  #request(op: {
    readonly g: number;
    readonly r: number;
    readonly a: number | string;
    readonly t?: string | number;
    readonly x?: number;
  }) {
    const [root, va] = [this.#guest.root(op.r), this.#guest.va(op.a)];
    const request = {
      ...(op.g === 0 ? {} : { view: op.g }),
      root: this.#cr3(root, op.x),
      va,
      ...(op.t === undefined ? {} : { tag: op.t }),
    };
    return { view: op.g, root, va, request };
  }

  /** A CR3 value that names the root (rule T2). */
  #cr3(root: bigint, dress = 0): bigint | number {
    const low = this.#program.mode === 'pae' ? 0x15n : 0xabcn;
    const value = root | [0n, low, 1n << 63n, (7n << 61n) | low][dress % 4]!;
    return value < 1n << 53n && dress % 4 !== 1 ? Number(value) : value;
  }

  /** Everything lands, everything is released in some order, and nothing remains (rule R3). */
  #finish(): void {
    const random = new Random(this.#program.end);
    this.#attempts.recover();
    const land = () => {
      for (const vcpu of this.#machine.busyVcpus())
        this.#step(`final commit of vCPU ${vcpu}`, 0, () => this.#commit(vcpu));
    };
    if (!random.oneIn(3)) {
      land();
      if (this.#missed) this.#step('final resync', 0, () => this.#exec({ k: 'resync' }));
    }
    for (let count = 1; this.#oracle.watched.size > 0; count++) {
      const op = this.#anyRelease(random, random.pick([...this.#oracle.watched.values()]));
      this.#step(`release ${text(op)}`, count, () => this.#exec(op));
    }
    this.#attempts.recover();
    this.#step('the end', 1, () => this.#exec({ k: 'resync' }));
    const { addresses, ranges, tables, marks } = this.#subject.dump();
    same(
      'R3',
      { addresses, ranges, tables, marks },
      { addresses: [], ranges: [], tables: [], marks: [] },
      () => 'what remains',
    );
    same('R3', this.#machine.changedAccess(), [], () => 'protections that remain');
    land();
  }

  #anyRelease(random: Random, { view, root, va, single, range }: Watched): Op {
    const r = this.#program.roots.findIndex((_, index) => this.#guest.root(index) === root);
    const place = { g: view, r, a: `0x${va.toString(16)}` };
    const tags = [...single.tags.keys(), ...range.tags.keys()];
    const tag = tags.length > 0 && random.oneIn(2) ? { t: random.pick(tags) } : {};
    switch (random.weighted({ unmonitor: 6, unrange: 4, force: 3, unview: 1, gone: 1 })) {
      case 'unmonitor':
        return { k: 'unmonitor', ...place, ...tag };
      case 'unrange':
        return { k: 'unrange', ...place, n: 1 + random.below(random.pick([4096, 40_000, 400_000])), ...tag };
      case 'force':
        return { k: 'force', ...place };
      case 'unview':
        return { k: 'unview', g: view };
      case 'gone':
        return { k: 'gone', r };
    }
  }
}

/** Every page that [va, va + byteLength) touches. */
function pagesOf(va: bigint, byteLength: number): bigint[] {
  const pages: bigint[] = [];
  for (let page = va - (va % PAGE); page < va + BigInt(byteLength) && pages.length <= MAX_PAGES; page += PAGE)
    pages.push(page);
  return pages;
}
