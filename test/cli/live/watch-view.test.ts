import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { watchView } from '../../../src/cli/live/watch-view.ts';
import type { MonitorEvent } from '../../../src/core/monitor/events.ts';
import { TextOutput } from '../../../src/sinks/text-output.ts';
import { pageIn, Recorder, rootGone, summary } from '../../sinks/examples.ts';

const page = (n: number): MonitorEvent => ({ ...pageIn, va: BigInt(n) * 0x1000n, tags: ['mine[90]', 'anon'] });

function started(each: boolean) {
  const stream = new Recorder();
  const view = watchView({ output: new TextOutput(stream), each });
  view.start();
  return { stream, view, lines: () => stream.text.split('\n').map((line) => line.replace(/^ +\d+\.\d{3}/, 'T')) };
}

describe('the events of a live guest', () => {
  test('have a heading, times, and one line for those that are alike', async () => {
    const { view, lines } = started(false);
    for (let n = 1; n <= 64; n++) await view.write(page(n));
    await view.end({ ...summary, ended: 'stopped' });
    expect(lines().slice(0, 3)).toEqual([
      ' seconds   who                virtual         physical    pages  entry changed',
      'T + mine[90]:anon      0x1000…         0x1a2babc   64×4K  PTE 0x0 → …067',
      '',
    ]);
    expect(lines().map((line) => line.replaceAll(/ +/g, ' '))).toContain('mine[90] +64 PTE +64');
    expect(lines().at(-2)).toMatch(/^12 writes, no events lost, \d+\.\d\d s$/);
  });

  test('--each: a line for each, at once', async () => {
    const { view, lines } = started(true);
    for (const n of [1, 2]) await view.write(page(n));
    expect(lines().slice(1)).toEqual([
      'T + mine[90]:anon      0x1000          0x1a2babc   4K     PTE 0x0 → …067',
      'T + mine[90]:anon      0x2000          0x1a2babc   4K     PTE 0x0 → …067',
      '',
    ]);
    await view.end(summary);
  });

  test('are not held back longer than others may be alike', async () => {
    const { view, stream } = started(false);
    await view.write(page(1));
    expect(stream.text).toBe('');
    await expect.poll(() => stream.text).toContain('mine[90]:anon');
    await view.end(summary);
  });

  test('a process that ends is named once, whatever of it was watched', async () => {
    const { view, lines } = started(false);
    for (const area of ['heap', 'stack']) await view.write({ ...rootGone, view: 0, tags: [`sleep[316]:${area}`] });
    await view.end(summary);
    expect(lines().filter((line) => line.includes('sleep[316]'))).toEqual(['T x sleep[316] ended']);
  });
});

test('a watch that fails before it begins prints nothing', async () => {
  const stream = new Recorder();
  const view = watchView({ output: new TextOutput(stream), each: false });
  await view.end({ ...summary, ended: 'failed', failure: { code: 'bad-argument', message: 'no process 9999' } });
  await sleep(0);
  expect(stream.text).toBe('');
});
