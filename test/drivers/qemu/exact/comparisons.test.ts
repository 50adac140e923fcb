/** When everything is compared, where the stop of one vCPU may hide that of another. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Comparisons } from '../../../../src/drivers/qemu/exact/comparing/comparisons.ts';

const ENTRIES = 100_000;
const INTERVAL_MS = 25;

describe('a comparison that is owed', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
  afterEach(() => void vi.useRealTimers());

  /** A guest that has just been compared, and stopped once since. */
  function owing() {
    const comparisons = new Comparisons(2, false);
    comparisons.setEntries(ENTRIES);
    comparisons.done();
    const interrupt = vi.fn<() => void>();
    const owed = comparisons.watchOwed(interrupt);
    const stop = () => {
      const isDue = comparisons.isDue();
      if (isDue) comparisons.done();
      else comparisons.owe();
      owed.restart();
      return isDue;
    };
    expect(stop()).toBe(false);
    return { interrupt, stop, owed };
  }

  test('is made at a stop that comes anyway, and the guest is not stopped for it', () => {
    const { interrupt, stop, owed } = owing();
    for (let round = 0; round < 10; round++) {
      for (let ms = 1; ms < INTERVAL_MS; ms++) {
        vi.advanceTimersByTime(1);
        expect(stop()).toBe(false);
      }
      vi.advanceTimersByTime(1);
      expect(stop()).toBe(true);
    }
    owed.end();
    expect(interrupt).not.toHaveBeenCalled();
  });

  test('has the guest stopped where no other stop comes', () => {
    const { interrupt } = owing();
    vi.advanceTimersByTime(INTERVAL_MS);
    expect(interrupt).not.toHaveBeenCalled();
    vi.advanceTimersByTime(10);
    expect(interrupt).toHaveBeenCalledTimes(1);
  });

  test('is made within a second, however many entries there are', () => {
    const comparisons = new Comparisons(2, false);
    comparisons.setEntries(1e9);
    comparisons.done();
    comparisons.owe();
    const interrupt = vi.fn<() => void>();
    comparisons.watchOwed(interrupt);
    vi.advanceTimersByTime(1000);
    expect(interrupt).toHaveBeenCalledTimes(1);
  });
});
