/** What a call reads, by how much is watched: what it touches, and nothing else. */
import { describe, expect, test } from 'vitest';
import { A, P, PWU, Rig } from './rig.ts';

const PAGE = 4096n;
/** What a page table, and what a directory spans. */
const TABLE = 512n * PAGE;
const DIRECTORY = 512n * TABLE;

/** `tables` full page tables in one directory, every page watched by itself, and one page far away. */
function watching(tables: bigint) {
  const rig = new Rig();
  const root = rig.frame();
  const far = DIRECTORY * 3n;
  for (let va = 0n; va < tables * TABLE; va += PAGE) rig.build(root, va, (0x1000n * PAGE + va) | PWU);
  rig.build(root, far, 0x7000n | PWU);
  for (let va = 0n; va < tables * TABLE; va += PAGE) rig.monitor.monitor({ root, va });
  rig.monitor.monitor({ root, va: far });
  const readsOf = (call: () => void): number => {
    const before = rig.reads;
    call();
    return rig.reads - before;
  };
  return { rig, root, far, readsOf, monitor: rig.monitor };
}

type Watching = ReturnType<typeof watching>;

const CALLS: Readonly<Record<string, { readonly reads: number; readonly call: (watching: Watching) => void }>> = {
  'a leaf that flips': {
    reads: 1,
    call: ({ rig, root }) => void rig.write(rig.entry(root, 7n * PAGE, 1), 0n),
  },
  'a leaf that is accessed': {
    reads: 1,
    call: ({ rig, root }) => {
      const leaf = rig.entry(root, 7n * PAGE, 1);
      rig.write(leaf, rig.read(leaf) | A);
    },
  },
  'a mark alone': { reads: 0, call: ({ rig, root }) => void rig.mark(rig.entry(root, 7n * PAGE, 1)) },
  'another watch of a watched page': {
    reads: 0,
    call: ({ monitor, root }) => monitor.monitor({ root, va: 7n * PAGE + 9n }),
  },
  'a watch beside one page': {
    reads: 1,
    call: ({ monitor, root, far }) => monitor.monitor({ root, va: far + 5n * PAGE }),
  },
  'the end of a watch': { reads: 0, call: ({ monitor, root }) => void monitor.unmonitor({ root, va: 7n * PAGE }) },
  'a directory entry with one page below it that goes': {
    reads: 1,
    call: ({ rig, root, far }) => void rig.write(rig.entry(root, far, 2), 0n),
  },
  'the state of an address': { reads: 0, call: ({ monitor, root }) => void monitor.state({ root, va: 0n }) },
};

describe('the cost of a call is of what it touches', () => {
  test.each(Object.keys(CALLS))('%s reads as much with 512 watched pages as with 5,120', (name) => {
    const { reads, call } = CALLS[name]!;
    for (const tables of [1n, 10n]) {
      const given = watching(tables);
      expect(given.readsOf(() => call(given))).toBe(reads);
    }
  });

  test.each([1n, 10n])('a directory entry that comes back, of %i: its own 512 entries', (tables) => {
    const { rig, root, readsOf } = watching(tables);
    const directory = rig.entry(root, 0n, 2);
    const value = rig.read(directory);
    expect(rig.write(directory, value & ~P)).toHaveLength(512);
    // The entry itself, whether its table is in memory, and the table.
    const reads = readsOf(() => expect(rig.write(directory, value)).toHaveLength(512));
    expect(reads).toBeGreaterThanOrEqual(513);
    expect(reads).toBeLessThanOrEqual(516);
  });

  test.each([1n, 10n])('resync of %i page tables reads every monitored entry once', (tables) => {
    const { monitor, readsOf } = watching(tables);
    const entries = monitor.monitoredEntries();
    expect(entries).toBe(Number(tables) * 513 + 5);
    expect(readsOf(() => void monitor.resync())).toBe(entries);
  });
});
