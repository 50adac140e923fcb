import { describe, expect, test } from 'vitest';
import type { Figure } from '../../bench/child.ts';
import { type Report, shareOfWanted, summarize, timesBetter } from '../../bench/report.ts';
import { median } from '../../bench/statistics.ts';
import { renderReport } from '../../bench/tables.ts';

const figure = (value: number, calibration = 25e6): Figure => ({
  value,
  calibrations: [calibration * 0.9, calibration * 1.1],
});

const REPORT: Report = {
  machine: { cpu: 'a CPU', cores: 2, memoryGiB: 8, system: 'Linux x64', node: '20.20.2', load: [0.5, 1.25] },
  measureMs: 500,
  results: [
    { row: 'flip', size: '100k', engine: 'ptmon', figures: [figure(3e6, 50e6), figure(4e6, 50e6), figure(8e6, 50e6)] },
    { row: 'flip', size: '100k', engine: 'naive', figures: [figure(0.5e6)] },
    { row: 'memory', size: '100k', engine: 'ptmon', figures: [{ ...figure(100, 50e6), residentBytes: 240 }] },
    { row: 'memory', size: '100k', engine: 'naive', figures: [{ ...figure(900), residentBytes: 1000 }] },
  ],
};

test.each([
  [[3, 1, 2], 2],
  [[4, 1, 3, 2], 2.5],
  [[7], 7],
])('the median of %j is %d', (values, expected) => {
  expect(median(values)).toBe(expected);
});

describe('a summary', () => {
  test('scales a rate by the calibration of its own process', () => {
    const { value, scaled, calibration } = summarize(REPORT.results[0]!);
    expect(value).toEqual({ median: 4e6, min: 3e6, max: 8e6 });
    expect(scaled).toEqual({ median: 2e6, min: 1.5e6, max: 4e6 });
    expect(calibration.median).toBe(50e6);
  });

  test('leaves memory as it is: no clock was asked', () => {
    const { scaled, residentBytes } = summarize(REPORT.results[2]!);
    expect(scaled.median).toBe(100);
    expect(residentBytes?.median).toBe(240);
  });
});

test('better is faster for a rate and smaller for memory', () => {
  expect(timesBetter(REPORT, 'flip', '100k')).toBe(4);
  expect(timesBetter(REPORT, 'memory', '100k')).toBe(9);
  expect(timesBetter(REPORT, 'flip', '1m')).toBeUndefined();
  expect(shareOfWanted('/s', 2e6, { wanted: 5e6 })).toBe(0.4);
  expect(shareOfWanted('B', 240, { wanted: 120 })).toBe(0.5);
  expect(shareOfWanted('B', 240, { rust: 583 })).toBeUndefined();
});

describe('a table', () => {
  test('shows what was measured beside what is wanted', () => {
    const lines = renderReport(REPORT, 'markdown').split('\n');
    expect(lines[0]).toBe('a CPU, 2 cores, 8 GiB; Linux x64; Node 20.20.2; load 0.5 before, 1.3 after.');
    expect(lines).toContain(
      '| a random leaf flips: mark, process, event | 4.00 | 3.00…8.00 | 2.00 | 8.50 | 24 % | 10.0 | 0.78 | 0.50 | 4.0 × |',
    );
    expect(lines).toContain('| memory per single address | 100 | 100…100 |  | 24.0 | 24 % |  | 583 | 900 | 9.0 × |');
    expect(lines).toContain('| growth of the process | 240 | 240…240 |  |  |  |  |  | 1000 |  |');
  });

  test('says the same in columns, and nothing of what was not measured', () => {
    const text = renderReport(REPORT, 'text');
    expect(text).toMatch(/^a random leaf flips: mark, process, event +4\.00 +3\.00…8\.00 +2\.00 +8\.50 +24 %/m);
    expect(text).not.toMatch(/resync|1 M in 64/);
  });
});
