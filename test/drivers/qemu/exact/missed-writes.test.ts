import { describe, expect, test } from 'vitest';
import { SparseMemory } from '../../../../src/core/memory/sparse-memory.ts';
import { type MissedWritesNotice, MissedWrites } from '../../../../src/drivers/qemu/exact/missed-writes.ts';

const ENTRIES = Float64Array.of(0x1000, 0x2008, 0x3010);

function stage() {
  const memory = new SparseMemory();
  for (const pa of ENTRIES) memory.writeU64(pa, 0x5067, 0x8000_0000);
  const notices: MissedWritesNotice[] = [];
  return { memory, notices, missed: new MissedWrites(memory, (notice) => notices.push(notice)) };
}

describe('whether a running guest has to be stopped for a comparison', () => {
  test('it has, until the values are noted and after each stop', () => {
    const { missed } = stage();
    expect(missed.isDue()).toBe(true);
    missed.note(ENTRIES, 8);
    expect([missed.isDue(), missed.isDue()]).toEqual([false, false]);
    missed.forget();
    expect(missed.isDue()).toBe(true);
  });

  test.each([
    ['the frame', 0x6067, 0x8000_0000, true],
    ['the highest bit', 0x5067, 0, true],
    ['present', 0x5066, 0x8000_0000, true],
    ['accessed and dirty, which the processor sets', 0x5007, 0x8000_0000, false],
  ])('a change of %s', (_what, low, high, isDue) => {
    const { memory, missed } = stage();
    missed.note(ENTRIES, 8);
    memory.writeU64(0x3010, low, high);
    expect(missed.isDue()).toBe(isDue);
  });

  test('it has where memory cannot be read, and a source that fails does not throw here', () => {
    const { missed } = stage();
    missed.note(Float64Array.of(0x1000, 0xdead_0000), 8);
    expect(missed.isDue()).toBe(true);
    const readEntry = () => {
      throw new Error('gone');
    };
    const failing = new MissedWrites({ readEntry }, () => {});
    failing.note(ENTRIES, 8);
    expect(failing.isDue()).toBe(true);
  });
});

describe('changes that no stop reported', () => {
  test('are said once, and three of them at quiet moments end exact watching', () => {
    const { missed, notices } = stage();
    for (let round = 0; round < 5; round++) missed.missed(2, false);
    expect([notices, missed.isSampling]).toEqual([[{ kind: 'unreported', events: 2 }], false]);
    for (let round = 0; round < 3; round++) missed.missed(1, true);
    expect(notices.map(({ kind }) => kind)).toEqual(['unreported', 'sampling']);
    expect([missed.isSampling, missed.isDue()]).toEqual([true, true]);
    missed.missed(1, true);
    missed.giveUp('again');
    expect(notices).toHaveLength(2);
  });
});
