import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { SparseMemory } from '../../../../src/core/memory/sparse-memory.ts';
import { type MissedWritesNotice, MissedWrites } from '../../../../src/drivers/qemu/exact/comparing/missed-writes.ts';

const ENTRIES = Float64Array.of(0x1000, 0x2008, 0x3010);

function stage() {
  const memory = new SparseMemory();
  for (const pa of ENTRIES) memory.writeU64(pa, 0x5067, 0x8000_0000);
  const notices: MissedWritesNotice[] = [];
  return { memory, notices, missed: new MissedWrites({ memory, clear: () => {} }, (notice) => notices.push(notice)) };
}

describe('what a comparison finds', () => {
  test.each([
    ['is no miss where the next stop is by the watchpoint that was about to tell of it', true, 0],
    ['gives the watchpoints up where none tells of it', false, 1],
  ])('%s', (_what, isByWatchpoint, notices) => {
    const { missed, notices: said } = stage();
    for (let time = 0; time < 5; time++) {
      missed.missed(1, true);
      missed.stopped(isByWatchpoint);
      // Another one tells nothing of what an earlier comparison found.
      missed.stopped(true);
    }
    expect(said.filter(({ kind }) => kind === 'sampling')).toHaveLength(notices);
    expect(missed.isSampling).toBe(notices > 0);
  });
});

describe('whether a running guest has to be stopped for a comparison', () => {
  test('it has, until the values are noted and after each stop', () => {
    const { missed } = stage();
    expect(missed.compare()).toBe('unknown');
    missed.note(ENTRIES, 8);
    expect([missed.compare(), missed.compare()]).toEqual(['same', 'same']);
    missed.watch(() => {}).end();
    expect(missed.compare()).toBe('unknown');
  });

  test('where an entry differs, a stop that is on its way is waited for', () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const { memory, missed } = stage();
    let due = 0;
    missed.note(ENTRIES, 8);
    const first = missed.watch(() => due++);
    memory.writeU64(0x3010, 0, 0);
    vi.advanceTimersByTime(900);
    // The watchpoint's stop.
    first.end();
    vi.advanceTimersByTime(5000);
    expect(due).toBe(0);

    missed.note(ENTRIES, 8);
    const second = missed.watch(() => due++);
    vi.advanceTimersByTime(5000);
    expect(due).toBe(0);
    memory.writeU64(0x3010, 0x7067, 0);
    vi.advanceTimersByTime(1200);
    expect(due).toBe(1);
    second.end();
    missed.watch(() => due++);
    // What was not noted is compared in a stop.
    vi.advanceTimersByTime(800);
    expect(due).toBe(2);
  });

  test.each([
    ['the frame', 0x6067, 0x8000_0000, 'different'],
    ['the highest bit', 0x5067, 0, 'different'],
    ['present', 0x5066, 0x8000_0000, 'different'],
    ['accessed and dirty, which the processor sets', 0x5007, 0x8000_0000, 'same'],
  ])('a change of %s', (_what, low, high, outcome) => {
    const { memory, missed } = stage();
    missed.note(ENTRIES, 8);
    memory.writeU64(0x3010, low, high);
    expect(missed.compare()).toBe(outcome);
  });

  test('it has where memory cannot be read, and a source that fails does not throw here', () => {
    const { missed } = stage();
    missed.note(Float64Array.of(0x1000, 0xdead_0000), 8);
    expect(missed.compare()).toBe('unknown');
    const readEntry = () => {
      throw new Error('gone');
    };
    const failing = new MissedWrites({ memory: { readEntry }, clear: () => {} }, () => {});
    failing.note(ENTRIES, 8);
    expect(failing.compare()).toBe('unknown');
  });
});

describe('changes that no stop reported', () => {
  test('are said once, and three of them at quiet moments end exact watching', () => {
    const { missed, notices } = stage();
    for (let round = 0; round < 5; round++) missed.missed(2, false);
    expect([notices, missed.isSampling]).toEqual([[{ kind: 'unreported', events: 2 }], false]);
    for (let round = 0; round < 3; round++) missed.missed(1, true);
    expect(notices.map(({ kind }) => kind)).toEqual(['unreported', 'sampling']);
    expect([missed.isSampling, missed.compare()]).toEqual([true, 'unknown']);
    missed.missed(1, true);
    missed.giveUp('again');
    expect(notices).toHaveLength(2);
  });
});
