import { describe, expect, test } from 'vitest';
import { type Layout, World } from '../../bench/world.ts';
import { makePaging } from '../../src/core/paging/format.ts';
import { walk } from '../../src/core/paging/walk.ts';

const LAYOUTS: readonly Layout[] = [
  { mode: '4-level', roots: 1, addressesPerRoot: 1000 },
  { mode: '4-level', roots: 3, addressesPerRoot: 512 },
  { mode: '5-level', roots: 2, addressesPerRoot: 600 },
  { mode: '4-level', roots: 4, addressesPerRoot: 64 },
];

describe.each(LAYOUTS)('$roots roots of $addressesPerRoot addresses in $mode paging', (layout) => {
  const world = new World(layout);
  const paging = makePaging({ mode: layout.mode });
  const walks = Array.from({ length: world.addresses }, (_, address) => {
    const page = address % layout.addressesPerRoot;
    const root = Math.floor(address / layout.addressesPerRoot);
    return walk(paging, world.memory, world.root(root), world.vas[page]!);
  });

  test('addresses are consecutive pages from 0, each backed by a frame of its own', () => {
    expect(world.vas).toEqual(Array.from({ length: layout.addressesPerRoot }, (_, page) => BigInt(page) * 4096n));
    expect(walks.every(({ translates }) => translates)).toBe(true);
    expect(new Set(walks.map((each) => each.translates && each.pa)).size).toBe(world.addresses);
  });

  test('each root has its own tables: as many entries as are counted, in as many tables', () => {
    const entries = new Set(walks.flatMap(({ steps }) => steps.map(({ entryPa }) => entryPa)));
    expect(entries.size).toBe(world.entries);
    expect(new Set([...entries].map((pa) => Math.floor(pa / 4096))).size).toBe(world.tables);
  });

  test('leaves and full directory entries are where they are said to be', () => {
    const leaves = walks.map(({ steps }) => steps.at(-1)!.entryPa);
    expect(leaves).toEqual(walks.map((_, address) => world.leaf(address)));

    const below = new Map<number, number>();
    for (const { steps } of walks) {
      const { entryPa } = steps.at(-2)!;
      below.set(entryPa, (below.get(entryPa) ?? 0) + 1);
    }
    const full = [...below].flatMap(([pa, count]) => (count === 512 ? [pa] : []));
    expect(Array.from({ length: world.fullDirectoryEntries }, (_, index) => world.directoryEntry(index))).toEqual(full);
  });

  test('tables that nothing watches are none of its own', () => {
    const last = world.unwatched(world.tables - 1, 511);
    const out = new Uint32Array(2);
    expect(walks.flatMap(({ steps }) => steps.map(({ entryPa }) => entryPa))).not.toContain(last);
    expect(world.memory.readEntry(last, 8, out)).not.toBe(0);
  });
});
