import process from 'node:process';
import { describe, expect, test } from 'vitest';
import { DirtyMarks } from '../../../../src/core/monitor/batch/dirty-marks.ts';

const marked = (entries: readonly (readonly [vcpu: number, entryPa: number])[]): DirtyMarks => {
  const marks = new DirtyMarks();
  for (const [vcpu, entryPa] of entries) marks.add(vcpu, entryPa);
  return marks;
};

describe('C4 marks are per vCPU', () => {
  test('each vCPU has its own, ascending, each entry once', () => {
    const marks = marked([
      [1, 24],
      [0, 16],
      [1, 8],
      [1, 24],
      [1, 24],
    ]);
    expect(marks.of(0).toArray()).toEqual([16]);
    expect(marks.of(1).toArray()).toEqual([8, 24]);
    expect(marks.of(2).toArray()).toEqual([]);
    expect(marks.ofAll().toArray()).toEqual([8, 16, 24]);
  });

  test('how many have something in flight', () => {
    const marks = marked([[3, 8]]);
    expect(marks.pending).toBe(1);
    marks.add(0, 8);
    marks.add(0, 16);
    expect(marks.pending).toBe(2);
    expect(marks.lend(3).length).toBe(1);
    marks.dropLent(1);
    expect(marks.pending).toBe(1);
    expect(marks.lend(0).length).toBe(2);
    marks.dropLent(1);
    expect(marks.pending).toBe(1);
    marks.lend(0);
    marks.dropLent(1);
    expect(marks.pending).toBe(0);
    marks.add(3, 8);
    expect(marks.pending).toBe(1);
  });

  test('vCPUs are told in the order of their numbers', () => {
    expect(marked([10, 2, 1, 0].map((vcpu) => [vcpu, 8])).vcpus()).toEqual([0, 1, 2, 10]);
  });

  test('what is left after some were dropped is still in flight', () => {
    const marks = marked([
      [0, 8],
      [0, 16],
    ]);
    expect(marks.lend(0).length).toBe(2);
    marks.add(0, 0);
    marks.dropLent(2);
    expect([marks.pending, marks.of(0).toArray()]).toEqual([1, [0]]);
  });

  test('what is written again while it is processed is still in flight', () => {
    const marks = marked([[0, 8]]);
    expect(marks.lend(0).length).toBe(1);
    marks.add(0, 8);
    marks.dropLent(1);
    expect([marks.pending, marks.of(0).toArray()]).toEqual([1, [8]]);
  });
});

describe('marks take room for the entries that are in flight, not for the writes', () => {
  test('a million writes to two entries in turn', () => {
    const before = process.memoryUsage().arrayBuffers;
    const marks = new DirtyMarks();
    for (let write = 0; write < 1_000_000; write++) marks.add(0, 8 * (write & 1));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
    expect(marks.of(0).toArray()).toEqual([0, 8]);
  });

  test.each([
    ['after there was nothing to process', (marks: DirtyMarks) => marks.dropLent(marks.lend(0).length)],
    ['after a processing that failed', (marks: DirtyMarks) => marks.keepLent()],
  ])('the same %s', (_, end) => {
    const marks = marked([[0, 0]]);
    marks.lend(0);
    end(marks);
    marks.lend(0);
    marks.keepLent();
    const before = process.memoryUsage().arrayBuffers;
    for (let write = 0; write < 1_000_000; write++) marks.add(0, 8 * (write & 1));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
    expect(marks.of(0).toArray()).toEqual([0, 8]);
  });

  test.each([1023, 1024, 1025, 4096, 100_000])('%i writes to different entries are all kept', (count) => {
    const marks = new DirtyMarks();
    for (let write = count; write > 0; write--) marks.add(0, 8 * write);
    expect(marks.of(0).length).toBe(count);
  });

  test.each([1000, 1023, 1024, 3000])(
    'of %i that are being processed, those are dropped, whatever comes meanwhile',
    (count) => {
      const marks = new DirtyMarks();
      for (let write = 1; write <= count; write++) marks.add(0, 8 * write);
      const processed = marks.lend(0).length;
      const late = Array.from({ length: 5000 }, (_, index) => 8 * (10_000 - index));
      for (const entryPa of [0, ...late]) marks.add(0, entryPa);
      marks.dropLent(processed);
      expect(marks.of(0).toArray()).toEqual([0, ...late.toReversed()]);
    },
  );
});
