/** What every row is made of: a setting, and rounds of work of which only the middle is timed. */
import { Random } from '../../src/testing/random.ts';
import type { Engine } from '../engine.ts';
import type { MakeEngine } from '../engines.ts';
import type { World } from '../world.ts';

export interface Setting {
  readonly world: World;
  readonly makeEngine: MakeEngine;
  /** The most writes of one round. */
  readonly roundWrites: number;
  /** Whether garbage is collected before a round that begins with a fresh engine. */
  readonly collects: boolean;
}

export interface Work {
  /** Not timed: what the next round needs. */
  prepare(): void;
  /** Timed: one round. Returns how many operations it was. @throws Error when the engine's results are wrong */
  run(): number;
  /** Not timed: right after a round. */
  finish?(): void;
}

/** All engines use the same sequence. */
export const randomOf = (): Random => new Random(4);

/** Watches every address by itself, the address's number as its tag. */
export function monitorEach(engine: Engine, world: World, order: Iterable<number>): void {
  const { addressesPerRoot } = world.layout;
  for (const address of order) {
    const root = Math.floor(address / addressesPerRoot);
    const va = world.vas[address - root * addressesPerRoot]!;
    engine.monitor({ root: world.root(root), va, tag: address });
  }
}

/** An engine that watches every address of the world. */
export function watchAll({ world, makeEngine }: Setting): Engine {
  const engine = makeEngine(world);
  monitorEach(engine, world, ascending(world));
  return engine;
}

export function ascending(world: World): Int32Array {
  return Int32Array.from({ length: world.addresses }, (_, address) => address);
}

/** The same in random order (Fisher and Yates). */
export function shuffled(world: World): Int32Array {
  const order = ascending(world);
  const random = randomOf();
  for (let last = order.length - 1; last > 0; last--) {
    const other = random.below(last + 1);
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  return order;
}

/** @throws Error naming what was counted, where it is not what it must be */
export function mustBe(what: string, counted: number, expected: number): void {
  if (counted !== expected) throw new Error(`${what}: ${counted}, where ${expected} are right`);
}
