/** Rows of memory: bytes before and after it watches everything, with all garbage collected. */
import process from 'node:process';
import { vaOf } from '../../src/core/address/va.ts';
import type { Engine, EngineName } from '../engine.ts';
import { ENGINES } from '../engines.ts';
import { collectGarbage } from '../garbage.ts';
import { World } from '../world.ts';
import { mustBe } from './work.ts';

/** Bytes per address. */
export interface Held {
  /** What JavaScript objects and typed arrays hold. */
  readonly liveBytes: number;
  /** What the process grew by, as the operating system counts it: the room that V8 keeps to work in comes on top. */
  readonly residentBytes: number;
}

const LEAST_ADDRESSES = 100_000;

export type Watching = (engine: Engine, world: World) => void;

/** Each address by itself. Its bigint is made here, so that an engine that keeps it pays for it. */
export const watchSingly: Watching = (engine, world) => {
  const { roots, addressesPerRoot } = world.layout;
  for (let root = 0; root < roots; root++) {
    for (let page = 0; page < addressesPerRoot; page++) {
      const tag = root * addressesPerRoot + page;
      engine.monitor({ root: world.root(root), va: vaOf(page, 0), tag });
    }
  }
};

/** One range a root. */
export const watchRanges: Watching = (engine, world) => {
  const { roots, addressesPerRoot } = world.layout;
  for (let root = 0; root < roots; root++) {
    engine.monitorRange({ root: world.root(root), va: 0n, byteLength: addressesPerRoot * 4096, tag: root });
  }
};

/**
 * Bytes per address of the world. Small worlds are watched by many engines, because a collected heap still differs by some
 * ten thousand bytes from one time to the next.
 */
export function hold(world: World, engineName: EngineName, watch: Watching): Held {
  warmUp(world, engineName, watch);
  const engines: Engine[] = [];
  const count = Math.ceil(LEAST_ADDRESSES / world.addresses);
  const before = usage();
  for (let index = 0; index < count; index++) {
    const engine = ENGINES[engineName](world);
    watch(engine, world);
    engines.push(engine);
  }
  const after = usage();
  for (const engine of engines) mustBe('monitored entries', engine.monitoredEntries(), world.entries);
  const addresses = count * world.addresses;
  return {
    liveBytes: (after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers) / addresses,
    residentBytes: (after.rss - before.rss) / addresses,
  };
}

/** The code that this compiles stays, whatever is watched afterwards: it is no address's own. */
function warmUp({ layout }: World, engineName: EngineName, watch: Watching): void {
  const small = new World({ ...layout, roots: 2, addressesPerRoot: 600 });
  for (let time = 0; time < 20; time++) watch(ENGINES[engineName](small), small);
}

function usage(): NodeJS.MemoryUsage {
  collectGarbage();
  return process.memoryUsage();
}
