import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import { encodeAbout } from '../../../src/drivers/trace/format/about.ts';
import { BLOCK_ABOUT, BLOCK_RECORDS, fileHeader, packBlock } from '../../../src/drivers/trace/format/blocks.ts';
import { ByteWriter } from '../../../src/drivers/trace/format/byte-writer.ts';
import { RecordEncoder } from '../../../src/drivers/trace/format/encode-record.ts';
import type { TraceRecord } from '../../../src/drivers/trace/format/records.ts';
import { tryReplay } from './sessions.ts';
import { temporaryFolder } from './temporary-folder.ts';

const file = temporaryFolder();

/** A trace with these records, as many blocks as it takes. */
function traceOf(records: Iterable<TraceRecord>): Buffer {
  const about = {
    source: 'x',
    capture: 'samples',
    paging: { mode: '4-level' },
    kinds: [],
    vcpuCount: undefined,
    startedAt: '',
    title: '',
    options: {},
  } as const;
  const blocks = [fileHeader(), packBlock(BLOCK_ABOUT, encodeAbout(about))];
  const writer = new ByteWriter();
  const encoder = new RecordEncoder();
  const flush = (): void => {
    blocks.push(packBlock(BLOCK_RECORDS, writer.bytes));
    writer.clear();
  };
  for (const record of records) {
    encoder.encode(record, writer);
    if (writer.length > 900_000) flush();
  }
  flush();
  return Buffer.concat(blocks);
}

/** Every entry of the frame leads to the frame itself. */
function circle(gfn: number): TraceRecord {
  const words = new Uint32Array(1024);
  for (let slot = 0; slot < 512; slot++) words[2 * slot] = gfn * 4096 + 7;
  return { type: 'table', gfn, words };
}

const range = (va: bigint, byteLength: bigint, tag: string | number): TraceRecord => ({
  type: 'call',
  call: { kind: 'monitorRange', view: 0, root: 0x1000n, va, byteLength, runs: true, tag },
});
const INSTANT = { type: 'instant', sinceUs: 1 } as const;
const END = { type: 'end', ended: 'finished' } as const;

const BOMBS: readonly [name: string, records: () => Iterable<TraceRecord>][] = [
  [
    'ranges of which each covers all those before',
    function* () {
      yield { type: 'no-memory', gfn: 1 };
      for (let n = 1; n < 3000; n++) yield range(0n, BigInt(n) * 4096n, n);
      yield INSTANT;
      yield END;
    },
  ],
  [
    'addresses without end',
    function* () {
      yield { type: 'no-memory', gfn: 1 };
      for (let n = 1; n < 110_000; n++) {
        const va = (BigInt(n) * 0x4000_0000n) % 2n ** 47n;
        yield { type: 'call', call: { kind: 'monitor', view: 0, root: 0x1000n, va: va + BigInt(n), tag: 'a' } };
        if (n % 1000 === 0) yield INSTANT;
      }
      yield END;
    },
  ],
  [
    'tables without end',
    function* () {
      for (let gfn = 1; gfn < 40_000; gfn++) {
        yield { type: 'table', gfn, words: new Uint32Array(1024) };
        if (gfn % 1000 === 0) yield INSTANT;
      }
      yield INSTANT;
      yield END;
    },
  ],
  [
    'an instant without end',
    function* () {
      for (let n = 0; n < 700_000; n++) yield { type: 'said', said: { kind: 'commit', vcpu: 0 } };
    },
  ],
];

test.each(BOMBS)(
  '%s: refused with the place, before they take what the file is not worth',
  { timeout: 90_000 },
  async (name, records) => {
    const path = file(`${name}.trace`);
    writeFileSync(path, traceOf(records()));
    const before = process.memoryUsage().rss;
    const { failure } = await tryReplay(path);
    expect(failure).toBeInstanceOf(PtmonError);
    expect(failure).toMatchObject({ code: 'corrupt-input', facts: { offset: expect.any(Number) } });
    expect((process.memoryUsage().rss - before) / 2 ** 20, 'MiB').toBeLessThan(768);
  },
);

test('tables that lead in circles: replayed, within what the monitor expands a range to', {
  timeout: 90_000,
}, async () => {
  const path = file('circles.trace');
  writeFileSync(path, traceOf([circle(1), range(0n, 2n ** 47n, 'all'), INSTANT, END]));
  const before = process.memoryUsage().rss;
  const { failure } = await tryReplay(path);
  expect(failure).toBeUndefined();
  expect((process.memoryUsage().rss - before) / 2 ** 20, 'MiB').toBeLessThan(768);
});
