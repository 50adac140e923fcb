/** The journal as a spool: it keeps its limit, what it drops is counted, and the VM with the most pays first. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Spool } from '../../../src/fleet/broker/spool.ts';
import { batchesOf, linesOfBatch } from '../../../src/fleet/journal/batch.ts';
import { type JournalLine, linesOf } from '../../../src/fleet/journal/read-segment.ts';
import { gapLine, segmentLine, segmentName } from '../../../src/fleet/journal/segment.ts';

/** Once it is 0, every call that changes a file system fails, as in a process that is no more. */
const crash = vi.hoisted(() => ({ callsLeft: Infinity }));
/** Paths of files that were opened. */
const opened = vi.hoisted(() => ({ paths: [] as string[] }));

vi.mock('node:fs', async (original) => {
  const fs: Record<string, unknown> = { ...(await original<object>()) };
  for (const name of ['writeSync', 'fsyncSync', 'renameSync', 'rmSync', 'mkdirSync']) {
    const call = fs[name] as (...args: unknown[]) => unknown;
    fs[name] = (...args: unknown[]) => {
      if (crash.callsLeft-- <= 0) throw new Error('crash');
      return call(...args);
    };
  }
  const openSync = fs['openSync'] as (path: string, ...rest: unknown[]) => unknown;
  fs['openSync'] = (path: string, ...rest: unknown[]) => {
    opened.paths.push(path);
    return openSync(path, ...rest);
  };
  return fs;
});

let journal: string;
beforeEach(() => {
  journal = mkdtempSync(join(tmpdir(), 'ptmon-spool-'));
});
afterEach(() => {
  crash.callsLeft = Infinity;
  rmSync(journal, { recursive: true, force: true });
});

const LINES = 100;

function writeSegments(vm: string, count: number): void {
  const facts = { host: 'h', vm, boot: 'b', session: `s-${vm}`, started: '2026-11-25T00:00:00.000Z' };
  for (let number = 0; number < count; number++) {
    const lines = Array.from({ length: LINES }, (_, index) => {
      return `${JSON.stringify({ v: 1, kind: 'page-in', seq: number * LINES + index, root: '0x1000', tags: [] })}\n`;
    });
    const text = segmentLine(facts, number, number * LINES) + lines.join('');
    writeFileSync(join(journal, `${segmentName(facts, number)}.jsonl`), text);
  }
}

const files = () => readdirSync(journal).filter((name) => name.endsWith('.jsonl'));
const bytes = () => files().reduce((sum, name) => sum + statSync(join(journal, name)).size, 0);

function linesOfVm(vm: string): readonly JournalLine[] {
  return files()
    .flatMap((name) => [...linesOf(join(journal, name))])
    .filter(({ place }) => place.vm === vm);
}

/** Events and what gaps count. */
function countOf(of: readonly JournalLine[]): { events: number; missing: number } {
  const missing = of.reduce((sum, { fields }) => sum + Number(fields['count'] ?? 0), 0);
  return { events: of.filter(({ fields }) => fields['seq'] !== undefined).length, missing };
}

test('the VM with the most loses its oldest, and the others nothing', () => {
  writeSegments('floods', 50);
  writeSegments('quiet', 3);
  const limit = Math.round(bytes() / 2);
  const spool = new Spool(journal, limit);
  spool.limit();
  expect(bytes()).toBeLessThan(limit);
  expect(countOf(linesOfVm('quiet'))).toEqual({ events: 3 * LINES, missing: 0 });
  const { events, missing } = countOf(linesOfVm('floods'));
  expect(missing).toBe(spool.dropped);
  expect(events + missing).toBe(50 * LINES);
  const [first] = linesOfVm('floods');
  expect(first).toMatchObject({ fields: { kind: 'gap', reason: 'the spool was full' }, place: { position: 0 } });
  // As long as the broker is away, gaps do not add up to a spool of their own.
  for (let round = 0; round < 5; round++) {
    spool.limit();
    new Spool(journal, 1000).limit();
  }
  expect(files().length).toBeLessThan(5);
  expect(countOf(linesOfVm('floods'))).toEqual({ events: 0, missing: 50 * LINES });
});

test('an unknown number stays unknown beside a known one', () => {
  writeSegments('vm', 2);
  const facts = { host: 'h', vm: 'vm', boot: 'b', session: 's-vm', started: '2026-11-25T00:00:00.000Z' };
  const text = segmentLine(facts, 2, 2 * LINES) + gapLine(null, 'ended');
  writeFileSync(join(journal, `${segmentName(facts, 2)}.jsonl`), text);
  new Spool(journal, 1).limit();
  expect(linesOfVm('vm').map(({ fields }) => fields['count'])).toEqual([2 * LINES, null]);
});

test('what is being sent is not dropped', () => {
  writeSegments('vm', 2);
  const batches = batchesOf(journal);
  const batch = batches.next().value!;
  writeSegments('vm', 1);
  new Spool(journal, 1).limit();
  expect([...linesOfBatch(batch)]).toHaveLength(2 * LINES);
});

test('a long journal is looked through once, in however many batches it goes', () => {
  const facts = { host: 'h', vm: 'vm', boot: 'b', session: 's', started: '2026-11-25T00:00:00.000Z' };
  for (let number = 0; number < 12; number++) {
    const path = join(journal, `${segmentName(facts, number)}.jsonl`);
    writeFileSync(path, `${segmentLine(facts, number, number)}${'x'.repeat(6 * 2 ** 20)}\n`);
  }
  opened.paths = [];
  const batches = [...batchesOf(journal)];
  expect(batches).toHaveLength(4);
  expect(opened.paths.filter((path) => path.endsWith('.jsonl'))).toHaveLength(12);
});

test('a crash at each call: each event is there or counted, once', () => {
  for (let calls = 0; ; calls++) {
    rmSync(journal, { recursive: true });
    mkdirSync(journal);
    writeSegments('vm', 6);
    const limit = bytes() / 2;
    crash.callsLeft = calls;
    let isDone = true;
    try {
      new Spool(journal, limit).limit();
    } catch (error) {
      isDone = (error as Error).message !== 'crash';
    }
    crash.callsLeft = Infinity;
    new Spool(journal, limit).limit();
    const { events, missing } = countOf(linesOfVm('vm'));
    expect(events + missing).toBe(6 * LINES);
    expect(readdirSync(journal).filter((name) => !name.endsWith('.jsonl') && !name.endsWith('.tmp'))).toEqual([]);
    if (isDone) {
      expect(calls).toBeGreaterThan(10);
      return;
    }
  }
});
