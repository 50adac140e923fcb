import { describe, expect, test } from 'vitest';
import { slownessLine } from '../../../../src/cli/live/source.ts';
import { StoppedShare } from '../../../../src/drivers/qemu/exact/stopped-share.ts';

describe('a guest that is stopped for most of the time', () => {
  test.each([
    ['many stops, little running', 100, 90, 10, 0.9],
    ['many stops, as much running', 100, 50, 50, undefined],
    ['few long stops: a reader that does not read', 5, 5000, 10, undefined],
  ])('%s', (_, stops, stoppedMs, runningMs, share) => {
    const told: number[] = [];
    const stoppedShare = new StoppedShare((each) => told.push(each));
    for (let stop = 0; stop < 2 * stops; stop++) stoppedShare.add(stoppedMs, runningMs);
    expect(told).toEqual(share === undefined ? [] : [share]);
  });

  test('a watch that will be slow is told beforehand, with what to do', () => {
    expect(slownessLine('exact', 1_000_000)).toBe(
      'Watching so much slows the guest down. With 1000000 watched entries, each page table that comes or goes stops it for about 40 ms. ' +
        'Watch less (--map, a smaller --va), or sample (--mode sample), which never stops it.',
    );
    expect([slownessLine('exact', 100_000), slownessLine('sample', 1_000_000)]).toEqual([undefined, undefined]);
  });
});
