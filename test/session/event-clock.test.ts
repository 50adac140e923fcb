import { expect, test } from 'vitest';
import { EventClock } from '../../src/session/event-clock.ts';

/** The texts of stops so many microseconds after a recording began. */
function textsOf(startedAt: string, stops: readonly number[]): (string | undefined)[] {
  let us = 0;
  const clock = new EventClock({ startedAt, stopUs: () => us });
  return stops.map((stop) => {
    us = stop;
    clock.stopped();
    return clock.time.at;
  });
}

test('stops of one second, of the next, and of a later one', () => {
  expect(textsOf('2026-11-30T23:59:58.999Z', [0, 7, 999, 1000, 1_001_000, 2_000_001])).toEqual([
    '2026-11-30T23:59:58.999000Z',
    '2026-11-30T23:59:58.999007Z',
    '2026-11-30T23:59:58.999999Z',
    '2026-11-30T23:59:59.000000Z',
    '2026-12-01T00:00:00.000000Z',
    '2026-12-01T00:00:00.999001Z',
  ]);
});

test('a recording that began before 1970, before the year 0, or at no date', () => {
  expect(textsOf('1969-12-31T23:59:59.999Z', [1, 1001])).toEqual([
    '1969-12-31T23:59:59.999001Z',
    '1970-01-01T00:00:00.000001Z',
  ]);
  expect(textsOf('-000001-12-31T23:59:59.001Z', [5])).toEqual(['-000001-12-31T23:59:59.001005Z']);
  expect(textsOf('yesterday', [5])).toEqual([undefined]);
});

test('a date beyond the last', () => {
  expect(textsOf('+275760-09-13T00:00:00.000Z', [999, 2_000_000])).toEqual([
    '+275760-09-13T00:00:00.000999Z',
    undefined,
  ]);
});
