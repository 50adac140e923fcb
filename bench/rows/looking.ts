/** Rows of looking at everything, and of the memory underneath. */
import { randomOf, mustBe, type Setting, watchAll, type Work } from './work.ts';

/** Every monitored entry is compared with memory, and none has changed. An operation is an entry. */
export function resyncWork(setting: Setting): Work {
  const { world } = setting;
  const engine = watchAll(setting);
  mustBe('monitored entries', engine.monitoredEntries(), world.entries);
  const times = Math.max(1, Math.floor(setting.roundWrites / world.entries));
  return {
    prepare() {},
    run() {
      for (let time = 0; time < times; time++) mustBe('events', engine.resync().length, 0);
      return times * world.entries;
    },
  };
}

/** What every row pays to the benchmark itself: a random leaf entry is read from its memory. */
export function readWork({ world, roundWrites }: Setting): Work {
  const random = randomOf();
  const plan = new Float64Array(roundWrites);
  const out = new Uint32Array(2);
  const { memory } = world;
  return {
    prepare() {
      for (let index = 0; index < plan.length; index++) plan[index] = world.leaf(random.below(world.addresses));
    },
    run() {
      let present = 0;
      for (let index = 0; index < plan.length; index++) {
        memory.readEntry(plan[index]!, 8, out);
        present += out[0]! & 1;
      }
      mustBe('present entries', present, plan.length);
      return plan.length;
    },
  };
}
