/** The watches of one page, where they are one and where they are many (rules R1, E5). */
import { describe, expect, test } from 'vitest';
import type { Tag } from '../../../../src/core/monitor/events.ts';
import { PWU, Rig } from '../rig.ts';

const VA = 0x7f12_3456_7000n;

function built() {
  const rig = new Rig();
  const root = rig.frame();
  rig.build(root, VA, 0x5000n | PWU);
  return {
    rig,
    monitor: rig.monitor,
    leaf: rig.entry(root, VA, 1),
    at: (offset: bigint) => ({ root, va: VA + offset }),
  };
}

const TAGS: readonly Tag[] = [
  0,
  -0,
  1,
  4095,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 60,
  -1,
  0.5,
  Infinity,
  '',
  '0',
  'a name',
];

describe('R1 one watch of a page', () => {
  test.each(TAGS)('keeps the tag %o as it is', (tag) => {
    const { rig, monitor, leaf, at } = built();
    monitor.monitor({ ...at(8n), tag });
    expect(monitor.state(at(8n))).toMatchObject({ tags: [tag], references: 1, pa: 0x5008 });
    const [event] = rig.write(leaf, 0n);
    expect(event!.tags).toEqual([tag]);
    expect(Object.is(event!.tags[0], tag)).toBe(true);
    expect(monitor.unmonitor({ ...at(8n), tag: 'another' })).toBe(false);
    expect(monitor.unmonitor({ ...at(8n), tag })).toBe(true);
    expect(monitor.state(at(8n))).toBeUndefined();
  });

  test.each([0n, 1n, 0xfffn])('at offset %i is no watch of another', (offset) => {
    const { monitor, at } = built();
    monitor.monitor({ ...at(offset), tag: 1 });
    for (const other of [0n, 1n, 2n, 0xffen, 0xfffn].filter((each) => each !== offset)) {
      expect(monitor.state(at(other))).toBeUndefined();
      expect(monitor.unmonitor(at(other))).toBe(false);
      expect(monitor.unmonitorByForce(at(other))).toBe(false);
    }
    expect(monitor.state(at(offset))).toMatchObject({ pa: 0x5000 + Number(offset), references: 1 });
  });

  test('without a tag', () => {
    const { rig, monitor, leaf, at } = built();
    monitor.monitor(at(0n));
    expect(monitor.state(at(0n))).toMatchObject({ tags: [], references: 1 });
    expect(rig.write(leaf, 0n)[0]!.tags).toEqual([]);
    expect(monitor.unmonitor({ ...at(0n), tag: 0 })).toBe(false);
    expect(monitor.unmonitor(at(0n))).toBe(true);
  });
});

describe('R1 several watches of a page', () => {
  test('come and go in any order, and each has its own tags', () => {
    const { rig, monitor, leaf, at } = built();
    for (const offset of [9n, 3n, 0xfffn, 0n]) monitor.monitor({ ...at(offset), tag: Number(offset) });
    monitor.monitor({ ...at(3n), tag: 'again' });
    const told = () => rig.write(leaf, rig.read(leaf) ^ 1n).map(({ va, tags }) => [va - VA, tags]);
    expect(told()).toEqual([
      [0n, [0]],
      [3n, [3, 'again']],
      [9n, [9]],
      [0xfffn, [0xfff]],
    ]);
    expect(monitor.unmonitor(at(0n))).toBe(true);
    expect(monitor.unmonitorByForce(at(3n))).toBe(true);
    expect(told()).toEqual([
      [9n, [9]],
      [0xfffn, [0xfff]],
    ]);
    expect(monitor.unmonitor({ ...at(0xfffn), tag: 0xfff })).toBe(true);
    monitor.monitor({ ...at(1n), tag: 'one' });
    expect(told()).toEqual([
      [1n, ['one']],
      [9n, [9]],
    ]);
    for (const offset of [1n, 9n]) expect(monitor.unmonitor(at(offset))).toBe(true);
    expect(monitor.dump()).toMatchObject({ addresses: [], tables: [] });
  });

  test('tags that are no small numbers are let go with their space', () => {
    const { monitor, at } = built();
    for (let time = 0; time < 3; time++) {
      for (let offset = 0n; offset < 10n; offset++) monitor.monitor({ ...at(offset), tag: `offset ${offset}` });
      monitor.unmonitorAll();
      expect(monitor.dump().addresses).toEqual([]);
    }
  });
});
