/** Whether a comparison would find anything, in one step: true only where it would not, and no later than a moment. */
import { describe, expect, test } from 'vitest';
import { PWU, Rig } from '../rig.ts';

const TABLE = 0x20_0000n;

/** So many page tables, with one watched page in each. */
function watching(tables: number) {
  const rig = new Rig();
  const root = rig.frame();
  for (let at = 0n; at < tables; at++) {
    rig.build(root, at * TABLE, (0x100_0000n + at * 4096n) | PWU);
    rig.monitor.monitor({ root, va: at * TABLE });
  }
  const change = (level: number) => rig.poke(rig.entry(root, 0n, level), 0n);
  return { monitor: rig.monitor, change };
}

describe('isUnchanged', () => {
  test.each([4, 300, 3000])('above %s page tables sees what decides where they are, and nothing else', (tables) => {
    const { monitor, change } = watching(tables);
    expect(monitor.isUnchanged('above')).toBe(true);
    change(1);
    expect(monitor.isUnchanged('above')).toBe(true);
    change(2);
    expect(monitor.isUnchanged('above')).toBe(false);
  });

  test('of everything sees each entry, and leaves many tables to a comparison', () => {
    const few = watching(4);
    expect(few.monitor.isUnchanged('all')).toBe(true);
    few.change(1);
    expect(few.monitor.isUnchanged('all')).toBe(false);
    expect(watching(3000).monitor.isUnchanged('all')).toBe(false);
  });

  test('leaves a large number of tables above page tables to a comparison', () => {
    const rig = new Rig();
    const root = rig.frame();
    // A page directory each.
    for (let at = 0n; at < 300n; at++) {
      rig.build(root, at << 30n, 0x7000n | PWU);
      rig.monitor.monitor({ root, va: at << 30n });
    }
    expect(rig.monitor.isUnchanged('above')).toBe(false);
    expect(rig.monitor.resync()).toEqual([]);
  });
});
