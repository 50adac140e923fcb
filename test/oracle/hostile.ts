/**
 * Tables of any shape, with ranges over them: cyclic, aliasing, garbage. What is checked is that no call reads more than the documented
 * bound (`maxRangePages`, rule C8), that a state is right or says that it is unknown, and that nothing remains at the end. Two monitors
 * share the source, which reports each write to both: a frame may be read-only for the other one's reason (rule C1). The oracle of `run.ts`
 * has a record for each watched page, and cannot watch such ranges. Of each watch, some addresses are followed: their events must lead from
 * one state to the next (rules E1, E3).
 */
import { vaOf } from '../../src/core/address/va.ts';
import { PtmonError } from '../../src/core/error.ts';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { PAGING_MODES, type PagingModeName } from '../../src/core/paging/modes.ts';
import { Machine } from './machine.ts';
import { Mismatch, same } from './mismatch.ts';
import { Random } from './random.ts';
import type { MakeSubject, Subject } from './subject.ts';

const FIRST = 0x100;
/** A call may read each entry of the nodes that the limit allows, before and after, and what single watches need. */
const READS_OVER_LIMIT = 3;
const SAMPLES = 24;

type Shape = 'cyclic' | 'alias' | 'garbage' | 'sparse' | 'zeros';

export interface HostileCounts {
  programs: number;
  calls: number;
  reads: number;
  /** Programs in which the limit was reached. */
  limited: number;
}

/** @throws Mismatch where a bound or a rule is broken */
export function runHostile(mode: PagingModeName, seed: number, make: MakeSubject): Omit<HostileCounts, 'programs'> {
  return new Hostile(mode, seed, make).run();
}

/** One of the monitors: its calls, and the access that it has set. The source traps what any of them has made read-only. */
interface Client {
  readonly monitor: Subject;
  readonly access: Map<number, number>;
  readonly followed: Followed[];
  isCut: boolean;
}

/** A watched address, and where it led when it was last reported. */
interface Followed {
  readonly root: number;
  readonly va: bigint;
  pa: number | null;
}

/** Addresses that are followed for each monitor. */
const MOST_FOLLOWED = 32;

class Hostile {
  readonly #random: Random;
  readonly #mode: PagingModeName;
  readonly #entryBytes: 4 | 8;
  readonly #slots: number;
  readonly #machine: Machine;
  readonly #clients: readonly Client[];
  readonly #limit: number;
  readonly #frames: number;
  readonly #roots: readonly number[];
  /** vCPUs with a write that is in memory and not processed. */
  readonly #busy = new Set<number>();
  #calls = 0;
  #last = '';

  constructor(mode: PagingModeName, seed: number, make: MakeSubject) {
    const random = new Random(seed);
    this.#random = random;
    this.#mode = mode;
    this.#entryBytes = PAGING_MODES[mode].entryBytes;
    this.#slots = 4096 / this.#entryBytes;
    this.#frames = 3 + random.below(8);
    this.#limit = 2 ** (12 + random.below(4));
    this.#machine = new Machine(
      this.#entryBytes,
      Array.from({ length: this.#frames }, (_, index) => FIRST + index),
    );
    this.#machine.addView(0);
    this.#roots = Array.from({ length: 1 + random.below(2) }, (_, index) => (FIRST + index) * 4096);
    const kinds = random.oneIn(2) ? (['protection', 'restructure'] as const) : [];
    this.#clients = [0, 1].map(() => this.#client(make, kinds));
  }

  #client(make: MakeSubject, kinds: readonly ('protection' | 'restructure')[]): Client {
    const access = new Map<number, number>();
    const monitor = make({
      memory: this.#machine,
      protection: {
        getAccess: (_view, gfn) => access.get(gfn) ?? 7,
        setAccess: (_view, gfn, its) => void (its === 7 ? access.delete(gfn) : access.set(gfn, its)),
      },
      paging: { mode: this.#mode },
      kinds,
      maxRangePages: this.#limit,
      onFault: ({ code }) => {
        if (code === 'range-limit') client.isCut = true;
      },
    });
    const client: Client = { monitor, access, followed: [], isCut: false };
    return client;
  }

  run(): Omit<HostileCounts, 'programs'> {
    const random = this.#random;
    for (let frame = 0; frame < this.#frames; frame++) this.#machine.poke((FIRST + frame) * 4096, this.#table());
    for (let op = 12 + random.below(24); op > 0; op--) {
      this.#step();
      if (this.#busy.size === 0) this.#inspect();
    }
    this.#process();
    this.#inspect();
    for (const { monitor, access } of this.#clients) {
      this.#call('unmonitorAll', () => monitor.unmonitorAll());
      const { addresses, ranges, tables, marks } = monitor.dump();
      same('R3', [addresses, ranges, tables, marks], [[], [], [], []], () => 'what remains');
      same('R3', [...access], [], () => 'protections that remain');
    }
    const limited = this.#clients.some(({ isCut }) => isCut) ? 1 : 0;
    return { calls: this.#calls, reads: this.#machine.calls.read, limited };
  }

  #step(): void {
    const random = this.#random;
    if (random.oneIn(2)) return this.#watch();
    if (random.below(4) > 0) return this.#write();
    if (this.#busy.size > 0) return this.#process();
    const client = random.pick(this.#clients);
    this.#call('resync', () => this.#hear(client, client.monitor.resync()));
  }

  /** Begins or ends a watch of one of the monitors. */
  #watch(): void {
    const random = this.#random;
    const root = random.pick(this.#roots);
    const client = random.pick(this.#clients);
    const { monitor } = client;
    const va = this.#va();
    switch (random.below(6)) {
      case 0:
        this.#call('unmonitorRange', () => void monitor.unmonitorRange({ root, ...this.#range() }));
        break;
      case 1:
        this.#call('unmonitorByForce', () => void monitor.unmonitorByForce({ root, va }));
        break;
      case 2:
      case 3:
        this.#call('monitor', () => monitor.monitor({ root, va }));
        this.#follow(client, root, va);
        break;
      default:
        this.#call('monitorRange', () => monitor.monitorRange({ root, ...this.#range(), runs: random.oneIn(2) }));
        for (let count = 0; count < 4; count++) this.#follow(client, root, this.#va() & ~0xfffn);
    }
    this.#unfollow(client);
  }

  /** Follows an address from here on, where it is watched and known. */
  #follow({ monitor, followed }: Client, root: number, va: bigint): void {
    if (followed.length === MOST_FOLLOWED || followed.some((each) => each.root === root && each.va === va)) return;
    const state = monitor.state({ root, va });
    if (state !== undefined && state.unknown === undefined) followed.push({ root, va, pa: state.pa });
  }

  /** Follows no longer what is not watched, or not known: the next watch there begins with what is in memory (E8). */
  #unfollow({ monitor, followed }: Client): void {
    for (const each of followed.splice(0)) {
      const state = monitor.state(each);
      if (state !== undefined && state.unknown === undefined) followed.push(each);
    }
  }

  /** Each event of an address that is followed must fit to the one before: a page-out of what it led to, a page-in of nothing. */
  #hear(client: Client, events: readonly MonitorEvent[]): void {
    for (const event of events) {
      if (event.kind !== 'page-in' && event.kind !== 'page-out') continue;
      for (const each of client.followed) {
        const distance = each.va - event.va;
        const isMeant = event.pages === 1 ? distance === 0n : distance >= 0n && distance < BigInt(event.pages) * 4096n;
        if (event.root !== each.root || !isMeant || distance % 4096n !== 0n) continue;
        const where = () =>
          `the state before a ${event.kind} of 0x${each.va.toString(16)} in root 0x${each.root.toString(16)}`;
        const pa = event.pa + Number(distance);
        same('E1', each.pa, event.kind === 'page-in' ? null : pa, where);
        each.pa = event.kind === 'page-in' ? pa : null;
      }
    }
    this.#unfollow(client);
  }

  /** A whole table, or some entries of it: marked, in memory, and processed now or later. */
  #write(): void {
    const random = this.#random;
    const frame = (FIRST + random.below(this.#frames)) * 4096;
    const vcpu = random.below(3);
    const whole = random.oneIn(2);
    const slot = whole ? 0 : random.below(this.#slots);
    const bytes = whole ? this.#table() : this.#table().subarray(0, this.#entryBytes * Math.min(4, this.#slots - slot));
    const pa = frame + slot * this.#entryBytes;
    for (const { monitor } of this.#clients)
      this.#call(`markDirty 0x${pa.toString(16)}`, () => void monitor.markDirty(pa, bytes.length, 0, vcpu));
    // Watches that begin, or end, before the write lands.
    for (let count = random.below(3); count > 0; count--) this.#watch();
    this.#machine.poke(pa, bytes);
    this.#busy.add(vcpu);
    if (random.below(3) > 0) this.#process();
  }

  #process(): void {
    for (const vcpu of this.#busy) {
      for (const client of this.#clients)
        this.#call('processDirtyEntries', () => this.#hear(client, client.monitor.processDirtyEntries(vcpu)));
    }
    this.#busy.clear();
  }

  /** Makes a call, and holds it to the bound. */
  #call(name: string, call: () => void): void {
    this.#calls++;
    this.#last = name;
    const before = this.#machine.calls.read;
    try {
      call();
    } catch (error) {
      throw new Mismatch('C8', `call ${this.#calls}, ${name}, throws ${String((error as Error).stack)}`);
    }
    const reads = this.#machine.calls.read - before;
    const most = READS_OVER_LIMIT * this.#roots.length * this.#limit + 64 * this.#slots;
    if (reads > most)
      throw new Mismatch('C8', `call ${this.#calls}, ${name}, reads ${reads} entries: ${most} are the bound`);
  }

  /** Nothing is in flight: a state is what a fresh walk is, or it is unknown. */
  #inspect(): void {
    for (const { monitor, followed, isCut } of this.#clients) {
      for (let sample = 0; sample < SAMPLES; sample++) {
        const [root, va] = [this.#random.pick(this.#roots), this.#va()];
        const { state, walk } = monitor.explain({ root, va });
        if (state === undefined || state.unknown !== undefined) continue;
        const where = () => `the state of 0x${va.toString(16)} in root 0x${root.toString(16)}, after ${this.#last}`;
        same('C1', state.pa, walk.translates ? walk.pa : null, where);
      }
      for (const { root, va, pa } of followed) {
        const where = () => `what the events of 0x${va.toString(16)} led to, after ${this.#last}`;
        same('E1', pa, monitor.state({ root, va })!.pa, where);
      }
      if (isCut) continue;
      this.#call('resync', () => {
        same('C1', monitor.resync().length, 0, () => 'events of resync, though nothing is in flight');
      });
    }
  }

  /** Pages anywhere: a few, or all of a half. */
  #range(): { va: bigint; byteLength: bigint } {
    const random = this.#random;
    const { vaBits, canonical } = PAGING_MODES[this.#mode];
    const half = 2n ** BigInt(canonical ? vaBits - 1 : vaBits);
    if (random.oneIn(2)) return { va: 0n, byteLength: half };
    const va = BigInt.asUintN(vaBits - 2, this.#va()) & ~0xfffn;
    return { va, byteLength: 4096n * BigInt(1 + random.below(random.pick([8, 2000, 2 ** 19]))) };
  }

  /** An address whose walk goes through the first few slots of each table, mostly. */
  #va(): bigint {
    const random = this.#random;
    let page = 0;
    const { tables } = PAGING_MODES[this.#mode];
    tables.forEach(({ indexBits }, depth) => {
      const slots = 2 ** indexBits;
      // The lower half.
      const most = depth === 0 ? slots / 2 : slots;
      page = page * slots + (random.oneIn(4) ? random.below(most) : random.below(Math.min(4, most)));
    });
    return vaOf(page, random.oneIn(3) ? random.below(4096) : 0);
  }

  #table(): Uint8Array {
    const random = this.#random;
    const shape = random.pick<Shape>(['cyclic', 'cyclic', 'alias', 'alias', 'garbage', 'sparse', 'zeros']);
    const first = this.#pointer();
    const density = random.pick([1, 2, 8, 64]);
    const bytes = new Uint8Array(4096);
    const view = new DataView(bytes.buffer);
    for (let slot = 0; slot < this.#slots; slot++) {
      const value = this.#value(shape, first, density);
      if (this.#entryBytes === 8) view.setBigUint64(slot * 8, value, true);
      else view.setUint32(slot * 4, Number(BigInt.asUintN(32, value)), true);
    }
    return bytes;
  }

  #value(shape: Shape, first: bigint, density: number): bigint {
    const random = this.#random;
    switch (shape) {
      case 'alias':
        return first;
      case 'cyclic':
        return random.below(density) === 0 ? this.#pointer() : 0n;
      case 'garbage':
        return random.oneIn(2) ? random.u64() : random.u64() & ~0xf_ffff_ff00_0000n;
      case 'sparse':
        return random.oneIn(100) ? this.#pointer() : 0n;
      case 'zeros':
        return 0n;
    }
  }

  /** An entry that points at one of the tables; in PAE's top-level table, the other bits are reserved. */
  #pointer(): bigint {
    const flags = this.#mode === 'pae' && this.#random.oneIn(2) ? 1n : 7n;
    return (BigInt(FIRST + this.#random.below(this.#frames)) << 12n) | flags;
  }
}

/** What goes wrong with the program of a seed, in words; undefined where nothing does. */
export function hostileFailure(
  mode: PagingModeName,
  seed: number,
  make: MakeSubject,
  counts: HostileCounts,
): string | undefined {
  try {
    const { calls, reads, limited } = runHostile(mode, seed, make);
    counts.programs++;
    counts.calls += calls;
    counts.reads += reads;
    counts.limited += limited;
    return undefined;
  } catch (error) {
    const text =
      error instanceof Mismatch || error instanceof PtmonError ? error.message : String((error as Error).stack);
    return `${text}\nhostile tables of mode ${mode}, seed ${seed}`;
  }
}
