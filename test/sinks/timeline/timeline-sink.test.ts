import { expect, test } from 'vitest';
import type { MonitorEvent } from '../../../src/core/monitor/events.ts';
import { TextOutput } from '../../../src/sinks/text-output.ts';
import { type TimelineSink, timelineSink } from '../../../src/sinks/timeline/timeline-sink.ts';
import type { TimelineWriter } from '../../../src/sinks/timeline/timeline-writer.ts';
import { pageIn, Recorder } from '../examples.ts';

/** Writes down what it is told, in words. */
class Told implements TimelineWriter {
  readonly lines: string[] = [];
  readonly #names = new Map<number, string>();

  group(id: number, name: string, pid: number | undefined): void {
    this.#names.set(id, name);
    this.lines.push(`group ${name}${pid === undefined ? '' : ` (${pid})`}`);
  }

  track(id: number, group: number, name: string): void {
    this.#names.set(id, name);
    this.lines.push(`track ${this.#names.get(group)} / ${name}`);
  }

  counter(): void {}

  begin(track: number, timeUs: number, name: string): void {
    this.lines.push(`${timeUs} ${this.#names.get(track)} is ${name}`);
  }

  end(track: number, timeUs: number): void {
    this.lines.push(`${timeUs} ${this.#names.get(track)} ends`);
  }

  instant(track: number, timeUs: number, name: string): void {
    this.lines.push(`${timeUs} ${this.#names.get(track)}: ${name}`);
  }

  count(counter: number, timeUs: number, value: number): void {
    this.lines.push(`${timeUs} counter ${counter} ${value}`);
  }

  finish(): void {
    this.lines.push('finish');
  }

  take(): string {
    return '';
  }
}

function setting(): { told: Told; sink: TimelineSink; at: (timeUs: number, event: MonitorEvent) => void } {
  const told = new Told();
  let now = 0;
  const output = new TextOutput(new Recorder());
  const sink = timelineSink({ output, writer: told, timeUs: () => now, backedPages: () => 3 });
  return {
    told,
    sink,
    at: (timeUs, event) => {
      now = timeUs;
      void sink.write(event);
    },
  };
}

const event = (kind: 'page-in' | 'page-out', more: object = {}): MonitorEvent => ({
  ...pageIn,
  kind,
  va: 0x5000n,
  pa: 0x9000 as (typeof pageIn)['pa'],
  tags: ['sh[7]:heap'],
  ...more,
});

test('a page has a track below its process, with what is behind it from when to when', async () => {
  const { told, sink, at } = setting();
  sink.start([]);
  at(10, event('page-in'));
  at(20, event('page-out'));
  at(30, event('page-in', { pa: 0xa000 }));
  await sink.end({} as never);
  expect(told.lines.filter((line) => !line.includes('counter') && !line.includes('causes:'))).toEqual([
    'group sh[7] (7)',
    'track sh[7] / causes',
    'track sh[7] / 0x5000 heap',
    '10 0x5000 heap is 0x9000 4K',
    '20 0x5000 heap ends',
    '30 0x5000 heap is 0xa000 4K',
    '30 0x5000 heap ends',
    'finish',
  ]);
});

test('what was there before anybody looked is shown from the beginning on, or since it was seen last', () => {
  const { told, sink, at } = setting();
  sink.start([{ root: 0x1000, va: 0x7000n, pa: 0x8000, pageSize: 4096, tags: ['one'] }]);
  expect(told.lines).toContain('0 0x7000 is 0x8000 4K');
  at(20, event('page-out'));
  at(50, event('page-out'));
  expect(told.lines.filter((line) => line.includes('in memory'))).toEqual([
    '0 0x5000 heap is in memory',
    '20 0x5000 heap is in memory',
  ]);
});

test('an entry that is behind many events is shown once', () => {
  const { told, sink, at } = setting();
  sink.start([]);
  at(1, event('page-in'));
  at(1, event('page-in', { va: 0x6000n }));
  at(2, event('page-out', { cause: { ...pageIn.cause!, oldValue: 1n, newValue: 0n } }));
  expect(told.lines.filter((line) => line.includes('causes:')).length).toBe(2);
});

test('whatever has a name has a group: a process by its number, a tag, a root', () => {
  const { told, sink, at } = setting();
  sink.start([]);
  at(1, event('page-in', { tags: ['busybox[7]', 'heap'] }));
  at(2, event('page-in', { tags: ['uname[7]', 'stack'], va: 0x8000n }));
  at(3, event('page-in', { tags: ['buffer'] }));
  at(4, event('page-in', { tags: [] }));
  sink.note('a word', 5);
  expect(told.lines.filter((line) => line.startsWith('group'))).toEqual([
    'group busybox[7] (7)',
    'group buffer',
    `group root 0x${pageIn.root.toString(16)}`,
    'group the guest',
  ]);
  expect(told.lines).toContain('track busybox[7] / 0x8000 stack');
  expect(told.lines.at(-1)).toBe('5 notes: a word');
});

test('more pages than anybody could look at are counted', () => {
  const { told, sink, at } = setting();
  sink.start([]);
  at(1, event('page-in', { pages: 2 ** 30 }));
  expect(told.lines.filter((line) => line.startsWith('track')).length).toBe(10_001);
  expect(sink.leftOut).toBe(2 ** 30 - 10_000);
});

test('the same page through two views is on two tracks', () => {
  const { told, sink, at } = setting();
  sink.start([]);
  for (const view of [0, 1]) at(10, event('page-in', { view }));
  for (const view of [0, 1]) at(20 + view, event('page-out', { view }));
  expect(told.lines.filter((line) => / is | ends$/.test(line))).toEqual([
    '10 0x5000 heap is 0x9000 4K',
    '10 0x5000 heap view 1 is 0x9000 4K',
    '20 0x5000 heap ends',
    '21 0x5000 heap view 1 ends',
  ]);
});

test('a number that no process has is a part of a name', () => {
  const { told, sink, at } = setting();
  sink.start([]);
  at(1, event('page-in', { tags: [`x[${'9'.repeat(30)}]`] }));
  expect(told.lines).toContain(`group x[${'9'.repeat(30)}]`);
});
