/** A reader that does not read: the guest waits, loses events that are counted, or is released. */
import { describe, expect, test } from 'vitest';
import { StallingSink } from '../../../src/cli/live/output-stall.ts';
import type { StallChoice } from '../../../src/cli/options/events.ts';
import { jsonlSink } from '../../../src/sinks/jsonl.ts';
import { pageIn, Recorder, settle, summary } from '../../sinks/examples.ts';

const LIMIT_MS = 20;

/** A watch's output whose reader reads a line only when it is told to. */
function stalled(choice: StallChoice) {
  const stream = new Recorder({ slow: true, highWaterMark: 1 });
  const said: string[] = [];
  let detached = 0;
  const sink = new StallingSink(jsonlSink(stream), {
    choice,
    say: (line) => said.push(line),
    detach: () => detached++,
    limitMs: LIMIT_MS,
  });
  const readAll = async () => {
    while (stream.release()) await settle();
  };
  /** Reads until the work is done. */
  const reading = async (work: Promise<void>) => {
    let isDone = false;
    const done = work.finally(() => (isDone = true));
    while (!isDone) {
      stream.release();
      await settle();
    }
    return done;
  };
  const kinds = () =>
    stream.text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { sink, stream, said, readAll, reading, kinds, detached: () => detached };
}

async function isPending(work: Promise<void>, ms: number): Promise<boolean> {
  return Promise.race([work.then(() => false), new Promise<boolean>((resolve) => setTimeout(resolve, ms, true))]);
}

describe('a reader that does not read', () => {
  test('wait: the write waits as long as it takes, and says so once', async () => {
    const { sink, said, readAll } = stalled('wait');
    const first = sink.write(pageIn);
    expect(await isPending(first, 10 * LIMIT_MS)).toBe(true);
    expect(said).toHaveLength(1);
    expect(said[0]).toContain('the guest waits until the output is read');
    await readAll();
    await first;
  });

  test('drop: later events are dropped, and counted where they would be', async () => {
    const { sink, said, readAll, reading, kinds, detached } = stalled('drop');
    await sink.write(pageIn);
    for (let n = 0; n < 5; n++) await sink.write(pageIn);
    expect(said).toHaveLength(1);
    await readAll();
    expect(said[1]).toContain('5 events were dropped');
    await reading(sink.write(pageIn));
    await reading(sink.end(summary));
    expect(kinds().map(({ kind, seq, count }) => seq ?? count ?? kind)).toEqual([0, 5, 6, 'end']);
    expect(kinds().at(-1)).toMatchObject({ dropped: 5 });
    expect(detached()).toBe(0);
  });

  test('drop: the end does not wait for the reader, who gets it all the same', async () => {
    const { sink, readAll, kinds } = stalled('drop');
    for (let n = 0; n < 3; n++) await sink.write(pageIn);
    expect(await isPending(sink.end(summary), 10 * LIMIT_MS)).toBe(false);
    await readAll();
    expect(kinds().at(-1)).toMatchObject({ kind: 'end', dropped: 2 });
  });

  test('detach: the watch is told to end', async () => {
    const { sink, said, detached } = stalled('detach');
    await sink.write(pageIn);
    expect(detached()).toBe(1);
    expect(said).toEqual([expect.stringContaining('the watch ends')]);
    expect(await isPending(sink.end(summary), 10 * LIMIT_MS)).toBe(false);
  });

  test.each(['wait', 'drop', 'detach'] as const)('%s: a reader that is only slow loses nothing', async (choice) => {
    const { sink, stream, said, kinds } = stalled(choice);
    for (let n = 0; n < 4; n++) {
      const written = sink.write(pageIn);
      await settle();
      stream.release();
      await written;
    }
    expect(kinds().map(({ seq }) => seq)).toEqual([0, 1, 2, 3]);
    expect(said).toEqual([]);
  });
});
