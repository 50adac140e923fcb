import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import { BLOCK_RECORDS, FILE_HEADER_BYTES } from '../../../src/drivers/trace/format/blocks.ts';
import { TraceReader } from '../../../src/drivers/trace/index.ts';
import { putTogether, takeApart } from './fuzz/trace-parts.ts';
import { recordSim, tryReplay } from './sessions.ts';
import { temporaryFolder } from './temporary-folder.ts';

const file = temporaryFolder();
const damaged = file('damaged.trace');
let whole: Buffer;
let said: string[];

/** A trace of several blocks. */
beforeAll(async () => {
  const path = file('whole.trace');
  said = linesOf(await recordSim(path, { seed: 4, steps: 30, vcpus: 2 }));
  const { header, blocks } = takeApart(readFileSync(path));
  whole = putTogether({ header, blocks: blocks.flatMap(splitAtInstants) });
});

/** Records of a block as several blocks of some instants each. */
function splitAtInstants({ type, raw }: { readonly type: number; readonly raw: Buffer }) {
  if (type !== BLOCK_RECORDS) return [{ type, raw }];
  const blocks: { type: number; raw: Buffer }[] = [];
  let from = 0;
  for (let at = 0; at < raw.length; ) {
    const [record, next] = recordAt(raw, at);
    at = next;
    if (record !== 11 || at - from < 400) continue;
    blocks.push({ type, raw: raw.subarray(from, at) });
    from = at;
  }
  // Nothing is left where the recorder wrote the block at that instant: it does so after a second, on a busy machine.
  return from < raw.length ? [...blocks, { type, raw: raw.subarray(from) }] : blocks;
}

function recordAt(raw: Buffer, at: number): [type: number, next: number] {
  let [length, scale, place] = [0, 1, at + 1];
  for (; ; place++, scale *= 128) {
    length += (raw[place]! & 127) * scale;
    if (raw[place]! < 128) return [raw[at]!, place + 1 + length];
  }
}

function linesOf(jsonl: string): string[] {
  return jsonl.trimEnd().split('\n');
}

/** What a replay of these bytes says, without its last line, and where the error is. */
async function replayOf(bytes: Buffer): Promise<{ lines: string[]; offset: number | undefined }> {
  writeFileSync(damaged, bytes);
  const { text, failure } = await tryReplay(damaged);
  if (failure === undefined) return { lines: linesOf(text).slice(0, -1), offset: undefined };
  expect(failure).toBeInstanceOf(PtmonError);
  const { code, facts, message } = failure as PtmonError;
  expect(code).toBe('corrupt-input');
  expect(message).toContain(`${damaged}: at byte ${facts.offset}`);
  return { lines: text === '' ? [] : linesOf(text).slice(0, -1), offset: facts.offset };
}

test('the trace that is damaged here has several blocks, and is whole', async () => {
  const { lines, offset } = await replayOf(whole);
  expect(offset).toBeUndefined();
  expect(lines).toEqual(said.slice(0, -1));
  expect(takeApart(whole).blocks.length).toBeGreaterThan(8);
});

describe('a damaged trace: all before the fault is delivered, then the fault with its place', {
  timeout: 90_000,
}, () => {
  /** Where blocks begin, and how many lines are said by then. */
  async function blockStarts(): Promise<{ at: number; lines: number }[]> {
    const { header, blocks } = takeApart(whole);
    const starts: { at: number; lines: number }[] = [];
    for (let count = 1; count < blocks.length; count++) {
      const before = putTogether({ header, blocks: blocks.slice(0, count) });
      starts.push({ at: before.length, lines: (await replayOf(before)).lines.length });
    }
    return starts;
  }

  test('cut anywhere', async () => {
    const starts = await blockStarts();
    for (let length = 0; length < whole.length; length += 31) {
      const { lines, offset } = await replayOf(whole.subarray(0, length));
      const last = starts.findLast(({ at }) => at <= length);
      expect({ length, lines }).toEqual({ length, lines: said.slice(0, last?.lines ?? 0) });
      // At the beginning of the block that is not whole, or at the end where there is none.
      expect(offset).toBe(last?.at ?? (length < FILE_HEADER_BYTES ? 0 : FILE_HEADER_BYTES));
    }
  });

  test('a bit turned anywhere', async () => {
    const starts = await blockStarts();
    for (let at = 0; at < whole.length; at += 23) {
      const bytes = Buffer.from(whole);
      bytes[at]! ^= 1 << (at % 8);
      const { lines, offset } = await replayOf(bytes);
      const block = starts.findLast((start) => start.at <= at);
      // Of the file's own version only the major part matters.
      if (at === 10 || at === 11) continue;
      expect({ at, lines }).toEqual({ at, lines: said.slice(0, block?.lines ?? 0) });
      expect(offset, `bit ${at % 8} of byte ${at}`).toBe(block?.at ?? (at < FILE_HEADER_BYTES ? 0 : FILE_HEADER_BYTES));
    }
  });

  test('something after the end', async () => {
    const { lines, offset } = await replayOf(Buffer.concat([whole, Buffer.of(0)]));
    expect(lines).toEqual(said.slice(0, -1));
    expect(offset).toBeGreaterThan(0);
  });
});

test('what is cut within its header is not said to have been converted', async () => {
  for (const length of [4, 7, 8, 11]) {
    writeFileSync(damaged, whole.subarray(0, length));
    expect(() => new TraceReader(damaged)).toThrow(/ends within its header/);
  }
});

test('a pipe that nobody writes to is refused, not waited for', () => {
  const pipe = file('pipe');
  execFileSync('sh', ['-c', 'mkfifo "$0"', pipe]);
  expect(() => new TraceReader(pipe)).toThrow(/is not a file/);
});

describe('versions', () => {
  const withByte = (at: number, value: number): Buffer => {
    const bytes = Buffer.from(whole);
    bytes[at] = value;
    return bytes;
  };

  test.each([
    ['another major version', 8, 2, /version 2\.1; this reader knows 1\.1/],
    ['line ends that were converted', 4, 0x0a, /line ends were converted/],
    ['something else', 0, 0x7f, /this is not a trace/],
  ])('%s is refused', (_name, at, value, message) => {
    writeFileSync(damaged, withByte(at, value));
    expect(() => new TraceReader(damaged)).toThrow(message);
  });

  test('a later minor version is read: what is not known is left out', async () => {
    const { header, blocks } = takeApart(withByte(10, 7));
    const [about, ...records] = blocks;
    const more = { ...JSON.parse(about!.raw.toString()), weather: 'fair' };
    const bytes = putTogether({
      header,
      blocks: [
        { type: 1, raw: Buffer.from(JSON.stringify(more)) },
        { type: 200, raw: Buffer.from('a block for somebody else') },
        ...records.map(({ type, raw }) => ({ type, raw: Buffer.concat([Buffer.of(201, 3, 1, 2, 3), raw]) })),
      ],
    });
    const { lines, offset } = await replayOf(bytes);
    expect(offset).toBeUndefined();
    expect(lines).toEqual(said.slice(0, -1));
  });

  test.each([
    ['block', (raw: Buffer) => [{ type: 3, raw }]],
    ['record', (raw: Buffer) => [{ type: 2, raw: Buffer.concat([Buffer.of(99, 0), raw]) }]],
  ])('a %s of a type that must be known is refused', async (what, change) => {
    const { header, blocks } = takeApart(whole);
    const bytes = putTogether({
      header,
      blocks: blocks.flatMap(({ type, raw }) => (type === 2 ? change(raw) : [{ type, raw }])),
    });
    writeFileSync(damaged, bytes);
    const { failure } = await tryReplay(damaged);
    expect(failure).toMatchObject({ code: 'corrupt-input', message: expect.stringContaining(`unknown ${what} type`) });
  });
});
