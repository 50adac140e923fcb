/** Rows of beginning and ending to watch single addresses. */
import type { Engine } from '../engine.ts';
import { collectGarbage } from '../garbage.ts';
import { World } from '../world.ts';
import { ascending, monitorEach, mustBe, type Setting, shuffled, type Work } from './work.ts';

/** Order in which addresses come: page by page, or at random. */
export type Order = 'ascending' | 'shuffled';

const orderOf = (world: World, order: Order) => (order === 'ascending' ? ascending(world) : shuffled(world));

/**
 * An engine that stays alive. Rounds drop theirs and collect the garbage. With the last object of a class V8 discards what it
 * has compiled for the class. Without this engine, rounds would time the compiler (2 µs an address instead of 0.3).
 */
function keepOne({ world, makeEngine }: Setting): () => void {
  const small = new World({ ...world.layout, roots: 2, addressesPerRoot: 600 });
  const kept = makeEngine(small);
  monitorEach(kept, small, ascending(small));
  return () => mustBe('entries of the engine that stays', kept.monitoredEntries(), small.entries);
}

/** Each round watches every address with a fresh engine; what the last one left is collected before. */
export function monitorWork(setting: Setting, order: Order): Work {
  const { world, makeEngine, collects } = setting;
  const addresses = orderOf(world, order);
  const checkKept = keepOne(setting);
  let engine: Engine | undefined;
  return {
    prepare() {
      checkKept();
      release(engine, world);
      engine = undefined;
      if (collects) collectGarbage();
      engine = makeEngine(world);
    },
    run() {
      monitorEach(engine!, world, addresses);
      return addresses.length;
    },
  };
}

/** Each round stops watching every address, one by one. */
export function unmonitorWork(setting: Setting, order: Order): Work {
  const { world, makeEngine, collects } = setting;
  const addresses = orderOf(world, order);
  const checkKept = keepOne(setting);
  const all = ascending(world);
  let engine: Engine | undefined;
  return {
    prepare() {
      checkKept();
      engine = undefined;
      if (collects) collectGarbage();
      engine = makeEngine(world);
      monitorEach(engine, world, all);
      mustBe('monitored entries', engine.monitoredEntries(), world.entries);
      if (collects) collectGarbage();
    },
    run() {
      unmonitorEach(engine!, world, addresses);
      mustBe('monitored entries', engine!.monitoredEntries(), 0);
      return addresses.length;
    },
  };
}

function unmonitorEach(engine: Engine, world: World, order: Iterable<number>): void {
  const { addressesPerRoot } = world.layout;
  for (const address of order) {
    const root = Math.floor(address / addressesPerRoot);
    const va = world.vas[address - root * addressesPerRoot]!;
    if (!engine.unmonitor({ root: world.root(root), va })) throw new Error(`address ${address} was not watched`);
  }
}

/** Counts what an engine that is done with has, so that a round that did nothing is noticed. */
function release(engine: Engine | undefined, world: World): void {
  if (engine !== undefined) mustBe('monitored entries', engine.monitoredEntries(), world.entries);
}
