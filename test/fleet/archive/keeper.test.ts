/** From the journal to the archive: each event once, whatever moment a crash comes at. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import { Keeper } from '../../../src/fleet/archive/keeper.ts';
import { addLines } from '../../../src/fleet/archive/add-lines.ts';
import { mergeFiles } from '../../../src/fleet/archive/merge.ts';
import { commit, filesOf, partitionsOf, settle, stateOf } from '../../../src/fleet/archive/partition.ts';
import { cannotWrite } from '../../../src/fleet/journal/cannot-write.ts';
import { damageIn } from '../../../src/fleet/journal/batch.ts';
import { linesOf } from '../../../src/fleet/journal/read-segment.ts';
import { gapLine, segmentLine, segmentName } from '../../../src/fleet/journal/segment.ts';
import { run } from '../../cli/run.ts';
import { ask, from } from './duckdb.ts';

/** Once it is 0, every call that changes a file system fails, as in a process that is no more. */
const crash = vi.hoisted(() => ({ callsLeft: Infinity, failing: '' }));

vi.mock('node:fs', async (original) => {
  const fs: Record<string, unknown> = { ...(await original<object>()) };
  for (const name of ['writeSync', 'fsyncSync', 'renameSync', 'rmSync', 'mkdirSync', 'linkSync']) {
    const call = fs[name] as (...args: unknown[]) => unknown;
    fs[name] = (...args: unknown[]) => {
      if (crash.failing === name || crash.callsLeft-- <= 0) throw new Error('crash');
      return call(...args);
    };
  }
  return fs;
});

let folder: string;
const journal = () => join(folder, 'journal');
const archive = () => join(folder, 'events');
const keeper = (more: object = {}) => new Keeper({ journal: journal(), archive: archive(), ...more });
const allFiles = () => partitionsOf(archive()).flatMap(filesOf);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ptmon-keeper-'));
  mkdirSync(journal());
});
afterEach(() => {
  crash.callsLeft = Infinity;
  crash.failing = '';
  rmSync(folder, { recursive: true, force: true });
});

function facts(vm: string, session: string) {
  return { host: 'h', vm, boot: 'b', session, started: '2026-11-25T00:00:00.000Z' };
}

function writeSegment(vm: string, session: string, number: number, lines: readonly string[]): void {
  const name = segmentName(facts(vm, session), number);
  writeFileSync(
    join(journal(), `${name}.jsonl`),
    segmentLine(facts(vm, session), number, number * 1_000_000) + lines.join(''),
  );
}

/** Events at the end of one day and the beginning of the next. */
function eventLines(first: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const at = new Date(Date.parse('2026-11-25T23:59:50Z') + (first + index) * 1000).toISOString();
    const event = { v: 1, kind: 'page-in', seq: first + index, root: '0x1000', va: '0xffff888000000000', pa: '0x5000' };
    return `${JSON.stringify({ ...event, pageSize: 4096, tags: [], vcpu: 0, cause: null, time: { us: index, at } })}\n`;
  });
}

describe('the keeper', () => {
  test.each(['tour', 'swap'])(
    '%s.trace: the archive has each event of the recording once',
    {
      timeout: 120_000,
    },
    async (name) => {
      const { stdout } = await run(['replay', resolve(`traces/${name}.trace`), '--json', '--time']);
      const lines = stdout
        .trimEnd()
        .split('\n')
        .map((line) => `${line}\n`);
      const half = Math.floor(lines.length / 2);
      writeSegment(name, 's', 0, lines.slice(0, half));
      writeSegment(name, 's', 1, lines.slice(half));
      await keeper().keep();
      expect(readdirSync(journal())).toEqual([]);
      const events = lines.map((line) => JSON.parse(line)).filter(({ seq }) => seq !== undefined);
      const hex = (column: string) =>
        `CASE WHEN ${column} IS NULL THEN NULL ELSE '0x' || lower(hex(${column})) END AS ${column}`;
      const rows = await ask(
        `SELECT seq::INTEGER AS seq, kind, ${hex('root')}, ${hex('va')}, ${hex('pa')}, ${hex('old_value')}, ${hex('new_value')}, vm,
        strftime(time, '%Y-%m-%dT%H:%M:%S.%fZ') AS at FROM ${from(allFiles())} WHERE seq IS NOT NULL ORDER BY seq`,
      );
      expect(rows).toEqual(
        events.map(({ seq, kind, root, va, pa = null, cause, time }) => ({
          seq,
          kind,
          root,
          va,
          pa,
          old_value: cause?.oldValue ?? null,
          new_value: cause?.newValue ?? null,
          vm: name,
          at: time.at,
        })),
      );
    },
  );

  test('days and hosts have folders of their own, and DuckDB reads all of them by one pattern', async () => {
    writeSegment('vm', 's', 0, eventLines(0, 20));
    await keeper().keep();
    expect(partitionsOf(archive()).map((path) => path.slice(archive().length))).toEqual([
      '/day=2026-11-25/host=h',
      '/day=2026-11-26/host=h',
    ]);
    const counts = await ask(
      `SELECT day::VARCHAR AS day, host, count(*)::INTEGER AS n FROM read_parquet('${archive()}/**/*.parquet', hive_partitioning = true) GROUP BY ALL ORDER BY day`,
    );
    expect(counts).toEqual([
      { day: '2026-11-25', host: 'h', n: 10 },
      { day: '2026-11-26', host: 'h', n: 10 },
    ]);
  });

  test('a segment that is open, and a damaged line', async () => {
    writeSegment('vm', 's', 0, [...eventLines(0, 2), '{"v":1,"kind":"page-', gapLine(3, 'rate limit').trimEnd()]);
    writeFileSync(join(journal(), `${segmentName(facts('vm', 's'), 1)}.jsonl.open`), 'not complete');
    writeFileSync(join(journal(), `${segmentName(facts('vm', 't'), 0)}.jsonl`), '');
    await keeper().keep();
    expect(readdirSync(journal())).toEqual([`${segmentName(facts('vm', 's'), 1)}.jsonl.open`]);
    const rows = await ask(`SELECT kind, missing, reason FROM ${from(allFiles())} ORDER BY line`);
    expect(rows.map(({ kind }) => kind)).toEqual(['page-in', 'page-in', 'gap']);
    expect(rows[2]).toEqual({ kind: 'gap', missing: null, reason: 'a damaged line' });
  });

  test('lines whose values are none of their kind become gaps, and the others are kept', async () => {
    const [whole = ''] = eventLines(0, 1);
    const spoilt = [
      { seq: 'x' },
      { root: 'nowhere' },
      { root: '0x10000000000000000' },
      { pa: -1 },
      { pages: 'many' },
      { pid: 2 ** 32 },
      { vcpu: 'first' },
      { view: 1.5 },
      { kind: 5 },
      { kind: 'gap', count: -1 },
      { kind: 'end', lost: { known: 1.5 } },
      { kind: 'watch', backed: [{ va: 'x' }] },
    ].map((values) => `${JSON.stringify({ ...JSON.parse(whole), ...values })}\n`);
    writeSegment('vm', 's', 0, [...spoilt, ...eventLines(1, 1)]);
    expect(await keeper().keep()).toBe(spoilt.length + 1);
    const rows = await ask(`SELECT kind, missing, reason FROM ${from(allFiles())} ORDER BY line`);
    expect(rows.slice(0, -1)).toEqual(spoilt.map(() => ({ kind: 'gap', missing: null, reason: 'a damaged line' })));
    expect(rows.at(-1)).toMatchObject({ kind: 'page-in' });
    expect(readdirSync(journal())).toEqual([]);
  });

  test('a segment whose first line is damaged stays, and the others are kept', async () => {
    const name = `${segmentName(facts('vm', 'd'), 0)}.jsonl`;
    for (const first of [
      '{"v":1,"kind":"segm',
      '{"v":1}\n',
      segmentLine({ ...facts('vm', 'd'), started: 'x' }, 0, 0),
    ]) {
      writeFileSync(join(journal(), name), first + eventLines(0, 1).join(''));
      writeSegment('vm', 's', 0, eventLines(1, 1));
      await keeper().keep();
      expect(readdirSync(journal())).toEqual([`${name}.damaged`]);
      expect(damageIn(journal())).toContain(name);
      rmSync(join(journal(), `${name}.damaged`));
      expect(damageIn(journal())).toBe(null);
    }
    writeFileSync(join(journal(), name), Buffer.alloc(4096));
    await keeper().keep();
    expect(readdirSync(journal())).toEqual([]);
  });

  test('a file of the journal that is larger than what is moved together: each event once', {
    timeout: 120_000,
  }, async () => {
    const lines = eventLines(0, 9000).map(
      (line) => `${JSON.stringify({ ...JSON.parse(line), tags: ['x'.repeat(4000)] })}\n`,
    );
    writeSegment('vm', 's', 0, lines);
    await keeper().keep();
    const [row] = await ask(
      `SELECT count(*)::INTEGER AS n, count(DISTINCT seq)::INTEGER AS seqs FROM ${from(allFiles())}`,
    );
    expect(row).toEqual({ n: lines.length, seqs: lines.length });
    expect(allFiles().length).toBeGreaterThan(2);
  });

  test('a folder that is damaged keeps its lines waiting, and no others', async () => {
    writeSegment('vm', 's', 0, eventLines(0, 20));
    await keeper().keep();
    const [damaged] = partitionsOf(archive());
    const list = join(damaged!, readdirSync(damaged!).find((name) => name.endsWith('.json'))!);
    const content = readFileSync(list);
    writeFileSync(list, content.subarray(0, 20));
    writeSegment('vm', 't', 0, eventLines(0, 20));
    await expect(keeper().keep()).rejects.toThrow(`${list}: damaged list`);
    writeSegment('vm', 'u', 0, eventLines(10, 10));
    await expect(keeper().keep()).rejects.toThrow(`${list}: damaged list`);
    const counted = async () => {
      const files = partitionsOf(archive()).slice(-1).flatMap(filesOf);
      return ask(`SELECT session, count(*)::INTEGER AS n FROM ${from(files)} GROUP BY ALL ORDER BY ALL`);
    };
    const all = ['s', 't', 'u'].map((session) => ({ session, n: 10 }));
    expect(await counted()).toEqual(all);
    writeFileSync(list, content);
    await keeper().keep();
    expect(await counted()).toEqual(all);
    expect(readdirSync(journal())).toEqual([]);
    expect(await ask(`SELECT count(*)::INTEGER AS n FROM ${from(allFiles())}`)).toEqual([{ n: 50 }]);
  });

  test('a file that is damaged keeps no other folder from being merged', async () => {
    const kept = keeper();
    for (let number = 0; number < 8; number++) {
      writeSegment('vm', 's', number, eventLines(0, 20));
      await kept.keep();
    }
    const [first, second] = partitionsOf(archive());
    const [file] = filesOf(first!);
    writeFileSync(file!, Buffer.alloc(readFileSync(file!).length));
    await expect(kept.tidy()).rejects.toThrow(first!);
    expect(filesOf(second!)).toHaveLength(1);
    await expect(kept.tidy()).rejects.toThrow(first!);
    expect(readdirSync(first!).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('a disk that has no room for the list: what was written is removed', async () => {
    writeSegment('vm', 's', 0, eventLines(0, 20));
    crash.failing = 'linkSync';
    await expect(keeper().keep()).rejects.toThrow('crash');
    expect(partitionsOf(archive()).flatMap((partition) => readdirSync(partition))).toEqual([]);
    crash.failing = '';
    expect(await keeper().keep()).toBe(20);
  });

  test('days that are too old are removed, but no newest days, whatever the clock says', async () => {
    const days = ['01', '20', '25', '26', '27'].map((day) => `day=2026-11-${day}`);
    for (const day of days) mkdirSync(join(archive(), day), { recursive: true });
    const kept = keeper({ keepDays: 3 });
    await kept.tidy(new Date('2026-11-26T12:00:00Z'));
    expect(readdirSync(archive()).sort()).toEqual(days.slice(2));
    // It is set a year ahead, and something happens.
    mkdirSync(join(archive(), 'day=2027-11-27'));
    await kept.tidy(new Date('2027-11-27T12:00:00Z'));
    expect(readdirSync(archive()).sort()).toEqual([...days.slice(3), 'day=2027-11-27']);
  });

  test('many small files become few large ones', { timeout: 120_000 }, async () => {
    const kept = keeper();
    for (let number = 0; number < 40; number++) {
      writeSegment(
        'vm',
        's',
        number,
        eventLines(0, 1).map((line) => line.replace('"seq":0', `"seq":${number}`)),
      );
      await kept.keep();
    }
    expect(allFiles()).toHaveLength(40);
    await kept.tidy();
    expect(allFiles().length).toBeLessThan(8);
    await expectOnce(40);
  });
});

/** Each event is in the files that count once, and the rest is still in the journal. */
async function expectOnce(count: number): Promise<void> {
  const rows = await ask(`SELECT seq::INTEGER AS seq FROM ${from(allFiles())} ORDER BY seq`);
  expect(rows.map(({ seq }) => seq)).toEqual(Array.from({ length: count }, (_, seq) => seq));
}

/** `work` is ended at each of its calls of the file system in turn; `recover` is a new process. */
async function crashAtEachCall(
  prepare: () => Promise<void>,
  work: () => Promise<unknown>,
  recover: () => Promise<void>,
) {
  for (let calls = 0; ; calls++) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(journal(), { recursive: true });
    await prepare();
    crash.callsLeft = calls;
    const isDone = await work().then(
      () => true,
      (error: Error) => error.message !== 'crash',
    );
    crash.callsLeft = Infinity;
    await recover();
    if (isDone) return calls;
  }
}

describe('a crash', () => {
  test('while segments move to the archive: each event is there once', { timeout: 300_000 }, async () => {
    const calls = await crashAtEachCall(
      async () => {
        writeSegment('vm', 's', 0, eventLines(0, 12));
        writeSegment('vm', 's', 1, eventLines(12, 3));
      },
      async () => keeper().keep(),
      async () => {
        await keeper().keep();
        await expectOnce(15);
      },
    );
    expect(calls).toBeGreaterThan(12);
  });

  test('while files are merged: readers see each event once before and after the next process completes it', {
    timeout: 300_000,
  }, async () => {
    const merge = async () => {
      for (const partition of partitionsOf(archive())) await mergeFiles(partition);
    };
    for (let number = 0; number < 9; number++) {
      writeSegment('vm', 's', number, eventLines(number, 1));
      await keeper().keep();
    }
    const before = mkdtempSync(join(tmpdir(), 'ptmon-keeper-'));
    onTestFinished(() => rmSync(before, { recursive: true }));
    cpSync(folder, before, { recursive: true });
    const calls = await crashAtEachCall(
      async () => cpSync(before, folder, { recursive: true }),
      merge,
      async () => {
        await expectOnce(9);
        await merge();
        await expectOnce(9);
        // What a process that is gone has begun is removed when no process can be at it any more.
        for (const partition of partitionsOf(archive())) {
          const left = readdirSync(partition).filter((name) => name.endsWith('.tmp'));
          for (const name of left) utimesSync(join(partition, name), 0, 0);
        }
        await merge();
        expect(allFiles().length).toBeLessThan(8);
        for (const partition of partitionsOf(archive()))
          expect(readdirSync(partition).filter((name) => !/^files-\d+\.json$|\.parquet$/.test(name))).toEqual([]);
      },
    );
    expect(calls).toBeGreaterThan(12);
  });
});

describe('several processes', () => {
  test('that add the same lines at one time, and merge: each is there once', { timeout: 120_000 }, async () => {
    for (let number = 0; number < 30; number++) writeSegment('vm', 's', number, eventLines(number * 5, 5));
    const lines = readdirSync(journal()).flatMap((name) => [...linesOf(join(journal(), name))]);
    const random = fc.sample(fc.array(fc.integer({ min: 0, max: lines.length - 1 }), { minLength: 40 }), 12);
    const add = async (chosen: readonly number[]) => {
      const { partitions } = await addLines(
        archive(),
        chosen.map((index) => lines[index]!),
      );
      for (const partition of partitions) await mergeFiles(partition);
    };
    await Promise.all([...random, [...lines.keys()]].map(add));
    await expectOnce(150);
  });

  test('that was so slow that its number is free again changes nothing', async () => {
    writeSegment('vm', 's', 0, eventLines(0, 1));
    await keeper().keep();
    const [partition] = partitionsOf(archive());
    const old = stateOf(partition!);
    for (let number = 1; number < 8; number++) {
      writeSegment('vm', 's', number, eventLines(number, 1));
      await keeper().keep();
    }
    expect(commit(partition!, { ...old, files: [] })).toBe(false);
    await expectOnce(8);
  });

  test('a clock that is set ahead does not make what is being written left over', async () => {
    writeSegment('vm', 's', 0, eventLines(0, 1));
    await keeper().keep();
    const [partition] = partitionsOf(archive());
    const [own, left] = ['own.parquet.tmp', 'left.parquet.tmp'].map((name) => join(partition!, name));
    for (const path of [own!, left!]) writeFileSync(path, '');
    utimesSync(left!, new Date('2026-01-01'), new Date('2026-01-01'));
    vi.useFakeTimers({ now: Date.now() + 7 * 86_400_000, toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
    settle(partition!);
    expect([existsSync(own!), existsSync(left!)]).toEqual([true, false]);
  });

  test('a file that another process has removed is not in force', async () => {
    writeSegment('vm', 's', 0, eventLines(0, 1));
    await keeper().keep();
    const [partition] = partitionsOf(archive());
    const { files, ...state } = stateOf(partition!);
    expect(() => commit(partition!, { ...state, files: [...files, 'gone.parquet'] }, 'gone.parquet')).toThrow(/ENOENT/);
    await expectOnce(1);
  });

  test('two agents whose hosts have one name: the archive has what both have seen', async () => {
    for (const session of ['of-one', 'of-other']) writeSegment('vm', session, 0, eventLines(0, 5));
    await keeper().keep();
    const rows = await ask(
      `SELECT host, session, count(*)::INTEGER AS n FROM ${from(allFiles())} GROUP BY ALL ORDER BY session`,
    );
    expect(rows).toEqual(['of-one', 'of-other'].map((session) => ({ host: 'h', session, n: 5 })));
  });

  test.each([
    ['ENOSPC', 'source-unavailable'],
    ['EACCES', 'bad-argument'],
  ])('a folder that cannot be written to because of %s: %s', (code, kind) => {
    const error = cannotWrite('/folder', Object.assign(new Error(code), { code }));
    expect(error).toBeInstanceOf(PtmonError);
    expect([(error as PtmonError).code, (error as PtmonError).message]).toEqual([
      kind,
      `/folder: cannot be written to (${code})`,
    ]);
  });

  test('an archive that cannot be written to', () => {
    const file = join(archive(), '..', 'a-file');
    writeFileSync(file, '');
    expect(() => keeper({ archive: join(file, 'events') })).toThrow(/a-file\/events: cannot be written to \(ENOTDIR\)/);
  });
});
