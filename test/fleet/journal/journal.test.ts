/** The journal of a watch: whole lines in files that are complete once they have their name, and a count of all that is not in them. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import fc from 'fast-check';
import { beforeEach, afterEach, describe, expect, test } from 'vitest';
import { fileName } from '../../../src/fleet/journal/file-name.ts';
import { Journal, type JournalOptions } from '../../../src/fleet/journal/journal.ts';
import { completeLeftOver, openSegments } from '../../../src/fleet/journal/append-gap.ts';
import { segmentName } from '../../../src/fleet/journal/segment.ts';
import { eventLine } from '../../../src/sinks/jsonl-format.ts';
import { pageIn } from '../../sinks/examples.ts';

const facts = { host: 'h', vm: 'vm', boot: 'b', session: 's', started: '2026-01-01T00:00:00.000Z' };
let folder: string;
let clock: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ptmon-journal-'));
  clock = 1000;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function journal(options: Partial<JournalOptions> = {}): Journal {
  return new Journal({ folder, facts, maxMs: 1000, maxBytes: 2 ** 20, now: () => clock, ...options });
}

async function end(written: Journal): Promise<void> {
  written.end();
  await finished(written);
}

function linesOf(name: string): Record<string, unknown>[] {
  return readFileSync(join(folder, name), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

const files = () => readdirSync(folder).sort();
const allLines = () => files().flatMap(linesOf);

describe('the journal', () => {
  test('a line is in the file at once, and the file has its name when it is old enough', async () => {
    const written = journal();
    written.write(eventLine(pageIn, 0));
    expect(files()).toEqual([`${segmentName(facts, 0)}.jsonl.open`]);
    expect(allLines().map(({ kind }) => kind)).toEqual(['segment', 'page-in']);
    clock += 999;
    written.tick();
    expect(files()[0]).toMatch(/open$/);
    clock += 1;
    written.tick();
    // The next one is there already: a process that is killed between two files has not ended by itself.
    expect(files()).toEqual([`${segmentName(facts, 0)}.jsonl`, `${segmentName(facts, 1)}.jsonl.open`]);
    clock += 5000;
    written.tick();
    expect(files()).toHaveLength(2);
    written.write(eventLine(pageIn, 1));
    await end(written);
    expect(files()).toEqual([`${segmentName(facts, 0)}.jsonl`, `${segmentName(facts, 1)}.jsonl`]);
    expect(linesOf(files()[1]!)[0]).toEqual({ v: 1, kind: 'segment', ...facts, number: 1, before: 1 });
    expect(written.counts).toEqual({ events: 2, limited: 0, unwritten: 0 });
  });

  test('a file of that size is complete', async () => {
    const written = journal({ maxBytes: 1000 });
    for (let seq = 0; seq < 10; seq++) written.write(eventLine(pageIn, seq));
    await end(written);
    expect(files().length).toBeGreaterThan(2);
    expect(allLines().flatMap(({ seq }) => seq ?? [])).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test('no line, no file', async () => {
    await end(journal());
    expect(files()).toEqual([]);
  });

  test('events above the rate are counted, and every one is in the file or in a gap', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 700 }), fc.integer({ min: 1, max: 30 })), { maxLength: 20 }),
        async (maxEventsPerSecond, bursts) => {
          rmSync(folder, { recursive: true, force: true });
          const written = journal({ maxEventsPerSecond });
          const startMs = clock;
          let seq = 0;
          for (const [pauseMs, count] of bursts) {
            clock += pauseMs;
            for (let i = 0; i < count; i++) written.write(eventLine(pageIn, seq++));
            written.tick();
          }
          await end(written);
          const kept = allLines().filter((line) => 'seq' in line).length;
          const gaps = allLines().filter(({ kind }) => kind === 'gap');
          const missing = gaps.reduce((sum, { count }) => sum + Number(count), 0);
          expect(kept + missing).toBe(seq);
          expect(written.counts).toEqual({ events: kept, limited: missing, unwritten: 0 });
          expect(kept).toBeLessThanOrEqual(maxEventsPerSecond * (1 + (clock - startMs) / 1000));
          expect(gaps.length).toBeLessThanOrEqual(2 + (clock - startMs) / 1000);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('a process that is killed leaves whole lines, and the agent completes its file with a gap behind it', () => {
    journal().write(eventLine(pageIn, 0));
    expect(openSegments(folder, 'another-session')).toEqual([]);
    completeLeftOver(openSegments(folder, 's'), 'killed');
    expect(files().every((name) => name.endsWith('.jsonl'))).toBe(true);
    expect(allLines().map(({ kind }) => kind)).toEqual(['segment', 'page-in', 'segment', 'gap']);
    expect(allLines().at(-1)).toMatchObject({ count: null, reason: 'killed' });
  });

  test('a process that is killed when all its lines are in complete files: a gap says so', () => {
    const written = journal();
    written.write(eventLine(pageIn, 0));
    clock += 1000;
    written.tick();
    rmSync(join(folder, files()[0]!));
    completeLeftOver(openSegments(folder), 'killed');
    expect(allLines().map(({ kind }) => kind)).toEqual(['segment', 'segment', 'gap']);
  });

  test('a process that is killed after its end: there is no gap', () => {
    const written = journal();
    written.write(eventLine(pageIn, 0));
    written.write('{"v":1,"kind":"end","ended":"finished"}\n');
    completeLeftOver(openSegments(folder), 'killed');
    expect(allLines().map(({ kind }) => kind)).toEqual(['segment', 'page-in', 'end']);
  });
});

/** A file system of its own, so small that it fills. */
function mountSmall(bytes: number): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

test('a full disk: what it does not take is counted, and the lines that are there are whole', async (context) => {
  if (!mountSmall(16 * 1024)) return context.skip('needs mount(8), as root');
  try {
    const written = journal();
    writeFileSync(join(folder, 'other'), Buffer.alloc(8 * 1024));
    for (let seq = 0; seq < 100; seq++) written.write(eventLine(pageIn, seq));
    expect(written.counts.unwritten).toBeGreaterThan(10);
    rmSync(join(folder, 'other'));
    written.tick();
    for (let seq = 100; seq < 105; seq++) written.write(eventLine(pageIn, seq));
    await end(written);
    const lines = allLines();
    const kept = lines.flatMap(({ seq }) => seq ?? []);
    const gaps = lines.filter(({ kind }) => kind === 'gap');
    expect(gaps).toHaveLength(1);
    expect(gaps[0]).toMatchObject({ count: written.counts.unwritten, reason: 'the disk did not take them' });
    expect(kept.length + written.counts.unwritten).toBe(105);
    expect(kept.slice(-5)).toEqual([100, 101, 102, 103, 104]);
  } finally {
    execFileSync('umount', ['-l', folder]);
  }
});

test('a full disk: that the end is not in the file is said, and the gap of a process that is killed waits for room', async (context) => {
  if (!mountSmall(16 * 1024)) return context.skip('needs mount(8), as root');
  try {
    const other = join(folder, 'other');
    writeFileSync(other, Buffer.alloc(8 * 1024));
    const written = journal();
    for (let seq = 0; written.counts.unwritten === 0; seq++) written.write(eventLine(pageIn, seq));
    expect(() => completeLeftOver(openSegments(folder), 'killed')).toThrow(/ENOSPC/);
    expect(openSegments(folder)).toHaveLength(1);
    rmSync(other);
    written.tick();
    written.write(`{"v":1,"kind":"end","ended":"${'x'.repeat(2 ** 14)}"}\n`);
    await end(written);
    const gaps = allLines().filter(({ kind }) => kind === 'gap');
    expect(gaps).toMatchObject([{ count: 1 }, { count: 0, reason: 'the disk did not take them' }]);
  } finally {
    execFileSync('umount', ['-l', folder]);
  }
});

describe('names of files', () => {
  test('are one visible component of a path, without a meaning to shells and globs, and different for different names', () => {
    const hostile = fc.oneof(fc.string(), fc.constantFrom('..', '.', '', '../../etc', 'a/b', 'a*', 'a.b', '>', '%2e'));
    fc.assert(
      fc.property(hostile, hostile, (a, b) => {
        expect(fileName(a)).toMatch(/^[A-Za-z0-9_%-]{1,80}$/);
        const isSame = Buffer.from(a).equals(Buffer.from(b));
        expect(fileName(a) === fileName(b)).toBe(isSame);
      }),
    );
    expect(fileName('x'.repeat(300))).not.toBe(fileName('x'.repeat(301)));
  });
});
