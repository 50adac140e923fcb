import { describe, expect, test } from 'vitest';
import { EventBursts } from '../../../src/cli/output/event-bursts.ts';
import type { MonitorEvent } from '../../../src/core/monitor/events.ts';
import { pageIn } from '../../sinks/examples.ts';

function event(kind: 'page-in' | 'page-out', page: number, more: object = {}): MonitorEvent {
  return { ...pageIn, kind, va: BigInt(page) * 4096n, ...more };
}

/** `+1 +2` for each line, and when it began. */
function shown(events: readonly (readonly [event: MonitorEvent, timeUs: number])[]): string[] {
  const bursts = new EventBursts();
  const complete = events.flatMap(([each, timeUs]) => bursts.add(each, timeUs));
  return [...complete, ...bursts.end()].map(
    ({ timeUs, events: alike }) =>
      `${timeUs}: ${alike.map(({ kind, va }) => `${kind === 'page-in' ? '+' : '-'}${va / 4096n}`).join(' ')}`,
  );
}

describe('what follows one another is a line', () => {
  test.each([
    [
      'a run of pages',
      [
        [event('page-in', 1), 10],
        [event('page-in', 2), 20],
      ],
      ['10: +1 +2'],
    ],
    [
      'copies: what went out, and what came in for it',
      [
        [event('page-out', 1), 10],
        [event('page-in', 1), 11],
        [event('page-out', 2), 12],
        [event('page-in', 2), 13],
      ],
      ['10: -1 -2', '11: +1 +2'],
    ],
    [
      'the same page again is something new',
      [
        [event('page-in', 1), 1],
        [event('page-out', 1), 2],
        [event('page-in', 1), 3],
      ],
      ['1: +1', '2: -1', '3: +1'],
    ],
    [
      'a pause',
      [
        [event('page-in', 1), 0],
        [event('page-in', 2), 200_000],
      ],
      ['0: +1', '200000: +2'],
    ],
    [
      'another address space',
      [
        [event('page-in', 1), 0],
        [event('page-in', 2, { root: 0x5000 }), 1],
      ],
      ['0: +1', '1: +2'],
    ],
    [
      'another tag',
      [
        [event('page-in', 1), 0],
        [event('page-in', 2, { tags: ['b'] }), 1],
        [event('page-in', 3), 2],
      ],
      ['0: +1 +3', '1: +2'],
    ],
  ] as const)('%s', (_name, events, expected) => {
    expect(shown(events)).toEqual(expected);
  });
});
