/** Memory that is read at positions: what is kept, what is read again, and that no entry is torn. */
import process from 'node:process';
import { Worker } from 'node:worker_threads';
import { describe, expect, onTestFinished, test } from 'vitest';
import { READ_NO_MEMORY, READ_OK } from '../../../src/core/memory/physical-memory.ts';
import {
  PositionedMemory,
  type PositionedMemoryOptions,
  type PositionedSource,
  pcRegions,
  RamFile,
  type RamRegion,
} from '../../../src/drivers/ramfile/index.ts';
import { makeRamFile, type WritableRam } from './ram-file-of.ts';

const [MIB, GIB] = [2 ** 20, 2 ** 30];
const PAGE = 4096;

function open(ram: WritableRam, regions: readonly RamRegion[], options?: PositionedMemoryOptions): PositionedMemory {
  const memory = new PositionedMemory([{ source: new RamFile(ram.path), regions }], options);
  onTestFinished(() => memory.close());
  return memory;
}

const out = new Uint32Array(2);

function entryAt(memory: PositionedMemory, pa: number): bigint | string {
  out.fill(0xdead);
  const outcome = memory.readEntry(pa, 8, out);
  if (outcome !== READ_OK) return outcome === READ_NO_MEMORY ? 'no memory' : 'not fetched';
  return (BigInt(out[1]!) << 32n) | BigInt(out[0]!);
}

/** A source that answers reads of a page or an entry by a script: what the memory holds at the n-th read. */
class ScriptedSource implements PositionedSource {
  readonly name = 'scripted';
  reads = 0;
  readonly #wordsAt: (read: number) => readonly number[];

  /** @param wordsAt the first words of the page at a read; the rest is 0 */
  constructor(wordsAt: (read: number) => readonly number[]) {
    this.#wordsAt = wordsAt;
  }

  read(into: Uint8Array, position: number): void {
    const page = new Uint32Array(PAGE / 4);
    page.set(this.#wordsAt(this.reads++));
    into.set(new Uint8Array(page.buffer, position, into.length));
  }

  check(): void {}
  close(): void {}
}

describe('a file with holes', () => {
  test('of more than 4 GiB is read on both sides of the hole', () => {
    const ram = makeRamFile(6 * GIB);
    const places: [pa: number, position: number][] = [
      [0, 0],
      [PAGE - 8, PAGE - 8],
      [2 * GIB - 8, 2 * GIB - 8],
      [4 * GIB, 2 * GIB],
      [5 * GIB + 24, 3 * GIB + 24],
      [8 * GIB - 8, 6 * GIB - 8],
    ];
    for (const [pa, position] of places) ram.writeEntry(position, 0xfeed_0000_0000_0000n + BigInt(pa));
    const memory = open(ram, pcRegions(6 * GIB, 2 * GIB));
    for (const [pa] of places) {
      expect(entryAt(memory, pa)).toBe(0xfeed_0000_0000_0000n + BigInt(pa));
      expect(memory.readEntry(pa, 4, out)).toBe(READ_OK);
      expect([...out]).toEqual([pa % 2 ** 32, 0]);
      expect(memory.readEntry(pa + 4, 4, out)).toBe(READ_OK);
      expect([...out]).toEqual([0xfeed_0000 + Math.floor(pa / 2 ** 32), 0]);
    }
    for (const pa of [2 * GIB, 3 * GIB, 4 * GIB - 8, 8 * GIB, 2 ** 52 - 8]) {
      expect(entryAt(memory, pa)).toBe('no memory');
      expect([...out]).toEqual([0xdead, 0xdead]);
    }
  });

  test('bytes span pages and regions that touch, and stop at a hole', () => {
    const ram = makeRamFile(4 * PAGE);
    ram.write(
      0,
      Uint8Array.from({ length: 4 * PAGE }, (_, at) => (at * 7) >> 3),
    );
    const regions = [
      { pa: 0, byteLength: PAGE, position: 2 * PAGE },
      { pa: PAGE, byteLength: 2 * PAGE, position: 0 },
      { pa: 4 * PAGE, byteLength: PAGE, position: 3 * PAGE },
    ];
    const memory = open(ram, regions);
    const byteAt = (position: number) => ((position * 7) >> 3) & 0xff;
    expect([...memory.readBytes(PAGE - 3, 6)!]).toEqual(
      [3 * PAGE - 3, 3 * PAGE - 2, 3 * PAGE - 1, 0, 1, 2].map(byteAt),
    );
    expect(memory.readBytes(0, 3 * PAGE)).toHaveLength(3 * PAGE);
    expect(memory.readBytes(0, 3 * PAGE + 1)).toBeUndefined();
    expect(memory.readBytes(3 * PAGE, 8)).toBeUndefined();
    expect([...memory.readBytes(4 * PAGE + 5, 1)!]).toEqual([byteAt(3 * PAGE + 5)]);
    expect(memory.readBytes(3 * PAGE, 0)).toEqual(new Uint8Array());
  });

  test('several files are one memory', () => {
    const [near, far] = [makeRamFile(MIB), makeRamFile(MIB)];
    near.writeEntry(8, 1n);
    far.writeEntry(8, 2n);
    const parts = [far, near].map(({ path }, at) => ({
      source: new RamFile(path),
      regions: [{ pa: (1 - at) * MIB, byteLength: MIB, position: 0 }],
    }));
    const memory = new PositionedMemory(parts);
    expect([entryAt(memory, 8), entryAt(memory, MIB + 8)]).toEqual([1n, 2n]);
    expect(memory.regions.map(({ pa }) => pa)).toEqual([0, MIB]);
    memory.close();
    memory.close();
    for (const { source } of parts) expect(() => source.check()).toThrow(expect.objectContaining({ code: 'closed' }));
    expect(() => entryAt(memory, 8)).toThrow(expect.objectContaining({ code: 'closed' }));
  });
});

describe('pages that are kept', () => {
  test.each([true, false])('stay as they were until they are cleared; guestRuns: %s', (guestRuns) => {
    const ram = makeRamFile(MIB);
    const memory = open(ram, [{ pa: 0, byteLength: MIB, position: 0 }], { guestRuns });
    for (let value = 1n; value < 5n; value++) {
      ram.writeEntry(0, value);
      ram.writeEntry(PAGE, value);
      expect([entryAt(memory, 0), entryAt(memory, PAGE)]).toEqual([value, value]);
      ram.writeEntry(0, 99n);
      expect([entryAt(memory, 0), entryAt(memory, PAGE)]).toEqual([value, value]);
      expect(memory.readBytes(0, 1)![0]).toBe(99);
      memory.clear();
    }
    expect(memory.pageCount).toBe(2);
  });

  test('are no more than allowed, whatever is read', () => {
    const ram = makeRamFile(MIB);
    for (let page = 0; page < 256; page++) ram.writeEntry(page * PAGE, BigInt(page));
    const memory = open(ram, [{ pa: 0, byteLength: MIB, position: 0 }], { maxPages: 3 });
    for (const step of [1, 7, 255, 128]) {
      for (let page = 0, count = 0; count < 300; count++, page = (page + step) % 256) {
        expect(entryAt(memory, page * PAGE)).toBe(BigInt(page));
        expect(memory.pageCount).toBeLessThanOrEqual(3);
        if (count % 11 === 0) memory.clear();
      }
    }
  });

  test.each([0, -1, 1.5])('cannot be %d at most', (maxPages) => {
    expect(() => new PositionedMemory([], { maxPages })).toThrow(expect.objectContaining({ code: 'bad-argument' }));
  });

  test('are not kept where reading them failed', () => {
    const ram = makeRamFile(2 * PAGE);
    const memory = open(ram, [{ pa: 0, byteLength: 2 * PAGE, position: 0 }], { maxPages: 1 });
    ram.writeEntry(0, 5n);
    expect(entryAt(memory, 0)).toBe(5n);
    ram.truncate(PAGE);
    expect(() => entryAt(memory, PAGE)).toThrow(expect.objectContaining({ code: 'source-unavailable' }));
    expect(entryAt(memory, 0)).toBe(5n);
    ram.truncate(2 * PAGE);
    ram.writeEntry(PAGE, 6n);
    expect(entryAt(memory, PAGE)).toBe(6n);
  });
});

describe('an entry is never torn', () => {
  // The writer was between the halves of the first entry at the first read, and is done at the second.
  const torn = (read: number) => (read === 0 ? [2, 1, 7, 7] : [2, 2, 7, 7]);
  const region = { pa: 0, byteLength: PAGE, position: 0 };

  test('a single read hands out a torn entry, two reads do not', () => {
    const at = (guestRuns: boolean) => {
      const source = new ScriptedSource(torn);
      const memory = new PositionedMemory([{ source, regions: [region] }], { guestRuns });
      return [entryAt(memory, 8), entryAt(memory, 0), source.reads];
    };
    expect(at(false)).toEqual([0x7_0000_0007n, 0x1_0000_0002n, 1]);
    // Only the entry that moved is read a third time.
    expect(at(true)).toEqual([0x7_0000_0007n, 0x2_0000_0002n, 3]);
  });

  test('an entry that moves is read until it rests, and then stays', () => {
    const source = new ScriptedSource((read) => [Math.min(read, 20), Math.min(read, 20), 3, 3]);
    const memory = new PositionedMemory([{ source, regions: [region] }], { guestRuns: true });
    expect(entryAt(memory, 0)).toBe(20n * 0x1_0000_0001n);
    const { reads } = source;
    expect(reads).toBe(22);
    expect([entryAt(memory, 0), entryAt(memory, 8), source.reads]).toEqual([
      20n * 0x1_0000_0001n,
      0x3_0000_0003n,
      reads,
    ]);
  });

  test.each<[which: string, wordsAt: (read: number) => number[], entry: bigint]>([
    ['low', (read) => [read, 9], 0x9_0000_0002n],
    ['high', (read) => [9, read], 0x2_0000_0009n],
  ])(
    'one whose %s half never rests is read whole: the other half was the same before, with and after it',
    (_, wordsAt, entry) => {
      const source = new ScriptedSource(wordsAt);
      const memory = new PositionedMemory([{ source, regions: [region] }], { guestRuns: true });
      expect(entryAt(memory, 0)).toBe(entry);
      expect(source.reads).toBe(4);
    },
  );

  test('a half that was the same in two reads only proves nothing', () => {
    // Torn at the second read; whole at the first, and from the third on.
    const words = [
      [1, 1],
      [2, 1],
      [2, 2],
      [3, 3],
      [3, 3],
    ];
    const source = new ScriptedSource((read) => words[Math.min(read, 4)]!);
    const memory = new PositionedMemory([{ source, regions: [region] }], { guestRuns: true });
    expect(entryAt(memory, 0)).toBe(0x3_0000_0003n);
  });

  test('one that never rests is an error of its own, not of its page', () => {
    const source = new ScriptedSource((read) => [read, read, 3, 3]);
    const memory = new PositionedMemory([{ source, regions: [region] }], { guestRuns: true });
    expect(entryAt(memory, 8)).toBe(0x3_0000_0003n);
    expect(source.reads).toBe(2);
    expect(() => entryAt(memory, 0)).toThrow(
      expect.objectContaining({
        code: 'read-failed',
        message: expect.stringMatching(/scripted: the entry at 0x0 had another value in each of \d+ reads/) as string,
      }),
    );
    expect(source.reads).toBeLessThan(1000);
    expect(entryAt(memory, 8)).toBe(0x3_0000_0003n);
  });

  test('while another thread writes whole pages of entries whose halves are equal', { timeout: 60_000 }, async () => {
    const ram = makeRamFile(MIB);
    const state = new Int32Array(new SharedArrayBuffer(8));
    const writer = new Worker(WRITER, { eval: true, workerData: { path: ram.path, state } });
    try {
      while (Atomics.load(state, 1) < 100) await new Promise((resolve) => setTimeout(resolve, 5));
      const careful = open(ram, [{ pa: 0, byteLength: MIB, position: 0 }], { guestRuns: true });
      const careless = open(ram, [{ pa: 0, byteLength: MIB, position: 0 }]);
      const seen = { careful: 0, careless: 0, values: new Set<number>() };
      const start = performance.now();
      // A machine that does other things lets the writer work less.
      while (performance.now() < start + 1500 || (seen.values.size <= 100 && performance.now() < start + 30_000)) {
        for (const memory of [careful, careless]) {
          memory.clear();
          for (let pa = 0; pa < PAGE; pa += 8) {
            memory.readEntry(pa, 8, out);
            if (out[0] !== out[1]) seen[memory === careful ? 'careful' : 'careless']++;
            seen.values.add(out[0]!);
          }
        }
      }
      process.stdout.write(`torn entries: ${seen.careless} in single reads, ${seen.careful} in careful ones\n`);
      expect(seen.careful).toBe(0);
      expect(seen.values.size).toBeGreaterThan(100);
    } finally {
      Atomics.store(state, 0, 1);
      await writer.terminate();
    }
  });
});

/** Fills a page with one value again and again, each entry in two halves that are equal. */
const WRITER = `
  const { openSync, writeSync } = require('node:fs');
  const { path, state } = require('node:worker_threads').workerData;
  const fd = openSync(path, 'r+');
  const page = new Uint32Array(1024);
  for (let value = 1; Atomics.load(state, 0) === 0; value++) {
    page.fill(value);
    writeSync(fd, page, 0, 4096, 0);
    Atomics.add(state, 1, 1);
    // A guest does more than that.
    for (let spin = 0; spin < 20_000; spin++) Atomics.load(state, 0);
  }
`;
