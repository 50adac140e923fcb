import { describe, expect, test } from 'vitest';
import { slownessLine } from '../../../../src/cli/live/source.ts';
import { StopTimes } from '../../../../src/drivers/qemu/exact/stop-times.ts';

describe('a guest that is stopped for most of the time', () => {
  test.each([
    ['many stops, little running', 100, 90, 10, 0.9],
    ['many stops, as much running', 100, 50, 50, undefined],
    ['few long stops: a reader that does not read', 5, 5000, 10, undefined],
  ])('%s', (_, stops, stoppedMs, runningMs, share) => {
    const told: number[] = [];
    const times = new StopTimes((each) => told.push(each));
    let now = 1000;
    times.begin(now);
    for (let stop = 0; stop < 2 * stops; stop++) {
      times.runs((now += stoppedMs));
      times.stopped((now += runningMs));
      // As where a consumer was told at once, and the rest is left to it.
      times.stopped(now + 1);
    }
    expect(told).toEqual(share === undefined ? [] : [share]);
    expect(times.all).toEqual({ stops: 2 * stops, runningMs: 2 * stops * runningMs, stoppedMs: 2 * stops * stoppedMs });
  });

  test('a watch that will be slow is told beforehand, with what to do', () => {
    expect(slownessLine('exact', 1_000_000)).toBe(
      'Watching so much slows the guest down. With 1000000 watched entries, each page table that comes or goes stops it for about 40 ms. ' +
        'Watch less (--map, a smaller --va), or sample (--mode sample), which never stops it.',
    );
    expect([slownessLine('exact', 100_000), slownessLine('sample', 1_000_000)]).toEqual([undefined, undefined]);
  });
});
