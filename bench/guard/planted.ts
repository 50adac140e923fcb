/** A planted slow-down, made of the work of an engine: it shows that the guard notices. */
import type { Setting, Work } from '../rows/work.ts';
import { World } from '../world.ts';

/**
 * A row that loses `share` of its speed: in each round a second engine, on a guest of its own, works as well, and only
 * the first one's operations count. To lose 40 %, the second does two thirds of the first one's work.
 *
 * @param share from 0.34 on: less would leave the second guest without a full page table
 */
export function planted(begin: (setting: Setting) => Work, setting: Setting, share: number): Work {
  const extra = share / (1 - share);
  const { layout } = setting.world;
  const world = new World({ ...layout, addressesPerRoot: Math.round(layout.addressesPerRoot * extra) });
  const first = begin(setting);
  const second = begin({ ...setting, world, roundWrites: Math.round(setting.roundWrites * extra) });
  return {
    prepare() {
      first.prepare();
      second.prepare();
    },
    run() {
      const operations = first.run();
      second.run();
      return operations;
    },
  };
}
