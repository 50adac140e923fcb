/** Rows of writes to page tables: marked, in memory, processed, events handed over. */
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import type { Engine } from '../engine.ts';
import { ACCESSED, DIRTY, PRESENT, type World } from '../world.ts';
import { mustBe, randomOf, type Setting, watchAll, type Work } from './work.ts';

/** Entries that a round writes to, in order; chosen before it is timed. */
type Plan = Float64Array;

/** Where events go: each is looked at, and the last is kept, so that none can be left out. */
class Receiver {
  received = 0;
  pageIns = 0;
  last: MonitorEvent | undefined;

  take(events: readonly MonitorEvent[]): void {
    for (const event of events) {
      if (event.kind === 'page-in') this.pageIns++;
      this.last = event;
    }
    this.received += events.length;
  }
}

function draw(plan: Plan, choose: () => number): void {
  for (let index = 0; index < plan.length; index++) plan[index] = choose();
}

function leafChooser(world: World): () => number {
  const random = randomOf();
  return () => world.leaf(random.below(world.addresses));
}

/** How the entries of a plan are written: where, to whom the events go, and which bits change in even and odd turns. */
interface Writes {
  readonly world: World;
  readonly receiver: Receiver;
  readonly even: number;
  readonly odd: number;
}

/** Marked, written and processed one by one. */
function writeEach(engine: Engine, plan: Plan, { world, receiver, even, odd }: Writes): void {
  const { memory } = world;
  for (let index = 0; index < plan.length; index++) {
    const pa = plan[index]!;
    engine.markDirtyEntry(pa, 0, 0);
    memory.toggle(pa, index % 2 === 0 ? even : odd);
    receiver.take(engine.processDirtyEntries(0));
  }
}

/** One uniformly random leaf loses or gains its present bit: one event. */
export function flipWork(setting: Setting): Work {
  const engine = watchAll(setting);
  const receiver = new Receiver();
  const plan = new Float64Array(setting.roundWrites);
  const choose = leafChooser(setting.world);
  return {
    prepare: () => draw(plan, choose),
    run() {
      const before = receiver.received;
      writeEach(engine, plan, { world: setting.world, receiver, even: PRESENT, odd: PRESENT });
      mustBe('events', receiver.received - before, plan.length);
      return plan.length;
    },
  };
}

/** One uniformly random leaf changes its accessed or its dirty bit: no event (rule E4). */
export function accessedDirtyWork(setting: Setting): Work {
  const engine = watchAll(setting);
  const receiver = new Receiver();
  const plan = new Float64Array(setting.roundWrites);
  const choose = leafChooser(setting.world);
  return {
    prepare: () => draw(plan, choose),
    run() {
      writeEach(engine, plan, { world: setting.world, receiver, even: ACCESSED, odd: DIRTY });
      mustBe('events', receiver.received, 0);
      return plan.length;
    },
  };
}

const BATCH = 256;

/** The same flips, processed 256 at a time. A leaf that flips twice in a batch has nothing to say. */
export function batchWork(setting: Setting): Work {
  const engine = watchAll(setting);
  const receiver = new Receiver();
  const plan = new Float64Array(Math.max(1, Math.floor(setting.roundWrites / BATCH)) * BATCH);
  const choose = leafChooser(setting.world);
  let expected = 0;
  return {
    prepare() {
      draw(plan, choose);
      expected += changedInBatches(plan);
    },
    run() {
      writeBatches(engine, setting.world, plan, receiver);
      mustBe('events', receiver.received, expected);
      return plan.length;
    },
  };
}

function writeBatches(engine: Engine, world: World, plan: Plan, receiver: Receiver): void {
  const { memory } = world;
  for (let start = 0; start < plan.length; start += BATCH) {
    for (let index = start; index < start + BATCH; index++) {
      const pa = plan[index]!;
      engine.markDirtyEntry(pa, 0, 0);
      memory.toggle(pa, PRESENT);
    }
    receiver.take(engine.processDirtyEntries(0));
  }
}

/** Leaves that a batch leaves changed: those that it flips an odd number of times. */
function changedInBatches(plan: Plan): number {
  let changed = 0;
  for (let start = 0; start < plan.length; start += BATCH) {
    const odd = new Set<number>();
    for (const pa of plan.subarray(start, start + BATCH)) if (!odd.delete(pa)) odd.add(pa);
    changed += odd.size;
  }
  return changed;
}

/** A write to a table that nothing watches: marked, which says so, and nothing else. */
export function unwatchedWork(setting: Setting): Work {
  const { world } = setting;
  const engine = watchAll(setting);
  const random = randomOf();
  const plan = new Float64Array(setting.roundWrites * 4);
  return {
    prepare: () => draw(plan, () => world.unwatched(random.below(world.tables), random.below(512))),
    run() {
      mustBe('monitored', markEach(engine, plan), 0);
      return plan.length;
    },
  };
}

/** How many of these entries are watched. */
function markEach(engine: Engine, plan: Plan): number {
  let monitored = 0;
  for (let index = 0; index < plan.length; index++) if (engine.markDirtyEntry(plan[index]!, 0, 0)) monitored++;
  return monitored;
}

/** A random directory entry with 512 addresses below it loses or gains its present bit. An operation is an event. */
export function directoryWork(setting: Setting): Work {
  const { world } = setting;
  const engine = watchAll(setting);
  const receiver = new Receiver();
  const random = randomOf();
  const plan = new Float64Array(Math.max(2, Math.floor(setting.roundWrites / 256)));
  return {
    prepare: () => draw(plan, () => world.directoryEntry(random.below(world.fullDirectoryEntries))),
    run() {
      const before = receiver.received;
      writeEach(engine, plan, { world, receiver, even: PRESENT, odd: PRESENT });
      mustBe('events', receiver.received - before, plan.length * 512);
      return plan.length * 512;
    },
  };
}
