/** `ptmon query`: the built-in queries on histories whose answers are known, and the ways to print an answer. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { Keeper } from '../../../src/fleet/archive/keeper.ts';
import { BUILT_IN_QUERIES } from '../../../src/fleet/query/built-in-queries.ts';
import { gapLine, segmentLine, segmentName } from '../../../src/fleet/journal/segment.ts';
import { parse, run } from '../../cli/run.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ptmon-query-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Keeps the lines of one VM. */
async function keep(vm: string, lines: readonly string[]): Promise<void> {
  const facts = { host: 'h', vm, boot: 'b', session: `s-${vm}`, started: '2026-11-25T00:00:00.000Z' };
  mkdirSync(join(folder, 'journal'), { recursive: true });
  writeFileSync(join(folder, 'journal', `${segmentName(facts, 0)}.jsonl`), segmentLine(facts, 0, 0) + lines.join(''));
  await new Keeper({ journal: join(folder, 'journal'), archive: join(folder, 'events') }).keep();
}

let seq = 0;

interface Made {
  readonly kind?: string;
  readonly root?: number;
  readonly pid: number;
  readonly map?: string;
  readonly va: number;
  readonly pa: number;
  readonly pages?: number;
  /** The leaf entry. */
  readonly entry?: string;
  readonly rights?: string;
}

/** @param second after midnight */
function event(second: number, made: Made): string {
  const { kind = 'page-in', pid, root = pid * 4096, map = 'heap', va, pa, pages = 1, entry = '0x0', rights } = made;
  const rightsOf = (text: string) => ({
    writable: text.includes('w'),
    noExecute: !text.includes('x'),
    user: true,
    protectionKey: 0,
  });
  const at = new Date(Date.parse('2026-11-25T00:00:00Z') + second * 1000).toISOString();
  const hex = (value: number) => `0x${value.toString(16)}`;
  const line = {
    v: 1,
    kind,
    seq: seq++,
    view: 0,
    root: hex(root),
    va: hex(va),
    pa: hex(pa),
    pageSize: 4096,
    pages,
    ...(rights !== undefined && { oldRights: rightsOf('r'), newRights: rightsOf(rights) }),
    tags: [`p${pid}[${pid}]`, map],
    pid,
    comm: `p${pid}`,
    map,
    vcpu: 0,
    cause: { entryPa: '0x3000', level: 1, oldValue: '0x0', newValue: entry },
    time: { us: second * 1e6, at },
  };
  return `${JSON.stringify(line)}\n`;
}

const [READ_WRITE, READ_ONLY, ALL] = ['0x8000000000000067', '0x8000000000000065', '0x67'];

async function query(...args: readonly string[]): Promise<Record<string, unknown>[]> {
  const { code, stdout, stderr } = await run(['query', '--from', folder, '--json', ...args]);
  expect([code, stderr]).toEqual([0, '']);
  return stdout === '' ? [] : parse(stdout);
}

describe('the built-in queries', () => {
  test('wx-after-start: writable and executable, of a user, within a minute of the start of the program', async () => {
    await keep('vm', [
      event(0, { pid: 1, va: 0x1000, pa: 0x5000, entry: READ_WRITE }),
      event(59, { pid: 1, va: 0x2000, pa: 0x6000, entry: ALL }),
      event(61, { pid: 1, va: 0x3000, pa: 0x7000, entry: ALL }),
      event(62, { pid: 2, va: 0x4000, pa: 0x8000, kind: 'protection', rights: 'rwx' }),
      event(63, { pid: 2, va: 0x5000, pa: 0x9000, kind: 'protection', rights: 'rx' }),
      // exec(2): the process is the same, the program is another.
      event(70, { pid: 1, root: 0x9000, va: 0x1000, pa: 0xa000, entry: ALL }),
    ]);
    const rows = await query('wx-after-start');
    expect(rows.map(({ pid, va, seconds_after_start }) => [pid, va, seconds_after_start])).toEqual([
      [1, '0x2000', 59],
      [2, '0x4000', 0],
      [1, '0x1000', 0],
    ]);
  });

  test('shared-frames: two processes at one time, one of which may write, and not in a file', async () => {
    const pa = 0x10_000;
    await keep('vm', [
      // After a fork both read: not listed.
      event(1, { pid: 1, va: 0x1000, pa, entry: READ_ONLY }),
      event(2, { pid: 2, va: 0x1000, pa, entry: READ_ONLY }),
      // One of them may write to the third page of a run.
      event(3, { pid: 1, va: 0x10_000, pa: 0x20_000, pages: 4, entry: READ_WRITE }),
      event(4, { pid: 2, va: 0x7000, pa: 0x22_000, entry: READ_ONLY }),
      // One after the other: the frame was freed in between.
      event(5, { pid: 1, va: 0x2000, pa: 0x30_000, entry: READ_WRITE }),
      event(6, { pid: 1, va: 0x2000, pa: 0x30_000, kind: 'page-out' }),
      event(7, { pid: 2, va: 0x2000, pa: 0x30_000, entry: READ_WRITE }),
      // A file.
      event(8, { pid: 1, va: 0x3000, pa: 0x40_000, entry: READ_WRITE, map: '/usr/bin/x' }),
      event(9, { pid: 2, va: 0x3000, pa: 0x40_000, entry: READ_WRITE, map: '/usr/bin/x' }),
    ]);
    // The same frame number in another VM is another frame.
    await keep('other', [event(4, { pid: 3, va: 0x1000, pa: 0x20_000, entry: READ_WRITE })]);
    const rows = await query('shared-frames');
    expect(rows.map(({ vm, pa, pid, other_pid }) => [vm, pa, pid, other_pid])).toEqual([['vm', '0x22000', 1, 2]]);
  });

  test('frame-life: one frame in pages of any run, in the order of time', async () => {
    await keep('vm', [
      event(1, { pid: 1, va: 0x10_000, pa: 0x20_000, pages: 4 }),
      event(2, { pid: 1, va: 0x11_000, pa: 0x21_000, kind: 'page-out' }),
      event(3, { pid: 2, va: 0x7000, pa: 0x21_000 }),
      event(4, { pid: 2, va: 0x8000, pa: 0x22_000 }),
    ]);
    const rows = await query('frame-life', '--pa', '0x21abc');
    expect(rows.map(({ pid, kind, va }) => [pid, kind, va])).toEqual([
      [1, 'page-in', '0x11000'],
      [1, 'page-out', '0x11000'],
      [2, 'page-in', '0x7000'],
    ]);
  });

  test('lost-events: known counts are added, unknown ones are told apart', async () => {
    await keep('vm', [gapLine(3, 'rate limit'), gapLine(4, 'rate limit'), gapLine(null, 'killed')]);
    await keep('whole', [event(1, { pid: 1, va: 0x1000, pa: 0x2000 })]);
    const rows = await query('lost-events');
    expect(rows.map(({ vm, missing, unknown_gaps, reason }) => [vm, missing, unknown_gaps, reason])).toEqual([
      ['vm', null, 1, 'killed'],
      ['vm', 7, 0, 'rate limit'],
    ]);
  });

  test.each(['tour', 'fork'])('busiest-processes: as many as %s.trace has', { timeout: 120_000 }, async (name) => {
    const { stdout } = await run(['replay', resolve(`traces/${name}.trace`), '--json', '--time']);
    await keep(
      name,
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => `${line}\n`),
    );
    const counts = new Map<string, number>();
    for (const line of parse(stdout)) {
      const process = /^.*\[\d+\]/.exec(String((line['tags'] as unknown[] | undefined)?.[0]))?.[0];
      if (line['seq'] !== undefined && process !== undefined) counts.set(process, (counts.get(process) ?? 0) + 1);
    }
    expect(counts.size).toBeGreaterThan(0);
    const rows = await query('busiest-processes');
    expect(new Map(rows.map(({ comm, pid, events }) => [`${String(comm)}[${String(pid)}]`, events]))).toEqual(counts);
    expect(await query('wx-after-start')).toEqual([]);
    expect(await query('busiest-processes', '--where', 'false')).toEqual([]);
  });

  test('the help and the document name all of them', async () => {
    const { stdout } = await run(['query', '--help']);
    for (const { name } of BUILT_IN_QUERIES) {
      expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
      expect(readFileSync('docs/fleet.md', 'utf8')).toContain(`\`${name}\``);
    }
  });
});

describe('the answer', () => {
  test('as a table, as JSON and as CSV: addresses are exact, and names of a guest do no harm', async () => {
    const hostile = event(1, { pid: 1, va: 0x9000, pa: 0x2000, map: '=1+1\u001b[31m' }).replace(
      '"0x9000"',
      '"0xffffffffffffffff"',
    );
    await keep('vm', [hostile]);
    const sql = 'SELECT va, map, seq, 9007199254740993 AS odd, NULL AS nothing FROM events';
    const table = await run(['query', '--from', folder, sql]);
    expect(table.stdout.split('\n')[0]).toMatch(/^va +map +seq +odd +nothing$/);
    expect(table.stdout).toContain('0xffffffffffffffff');
    expect(table.stdout).not.toContain('\u001b');
    expect(table.stdout).toMatch(/\n1 row\n$/);
    const json = await run(['query', '--from', folder, sql, '--json']);
    expect(json.stdout).not.toContain('\u001b');
    expect(parse(json.stdout)[0]).toMatchObject({ va: '0xffffffffffffffff', odd: '9007199254740993', nothing: null });
    const csv = await run(['query', '--from', folder, sql, '--csv']);
    expect(csv.stdout.split('\r\n')[0]).toBe('va,map,seq,odd,nothing');
    expect(csv.stdout.split('\r\n')[1]).toMatch(/^0xffffffffffffffff,'=1\+1/);
  });

  test('columns of one name are all there', async () => {
    await keep('vm', []);
    expect(await query('SELECT 1 AS a, 2 AS a')).toEqual([{ a: 1, 'a:1': 2 }]);
  });

  test('a table of more rows than a reader takes in ends, and JSON has all', { timeout: 60_000 }, async () => {
    await keep('vm', []);
    const sql = 'SELECT range AS n FROM range(12345)';
    const table = await run(['query', '--from', folder, sql]);
    expect(table.stdout.split('\n')).toHaveLength(10_003);
    expect(table.stdout).toMatch(/\n12345 rows, of which these are the first 10000: --json and --csv print all\n$/);
    expect(await query(sql)).toHaveLength(12_345);
  });

  test('an agent that has not written yet has no rows', async () => {
    mkdirSync(join(folder, 'events'));
    expect(await query('lost-events')).toEqual([]);
  });
});

test.each([
  [['nonsense'], 2, '"nonsense": neither SQL nor one of wx-after-start'],
  [['frame-life'], 2, 'frame-life needs the frame: --pa 0x…'],
  [['frame-life', '--pa', '12z'], 2, '--pa 12z: not a hexadecimal address'],
  [['lost-events', '--pa', '0x1000'], 2, '--pa is for frame-life'],
  [['select 1', '--json', '--csv'], 2, '--csv'],
  [['select nothing from events'], 2, '"nothing" not found'],
])('%j is refused', async (args, code, message) => {
  mkdirSync(join(folder, 'events'));
  const outcome = await run(['query', '--from', folder, ...args]);
  expect([outcome.code, outcome.stderr]).toEqual([code, expect.stringContaining(message)]);
});

test('a file that is damaged, or lost, and a list that is damaged are named, with what to do', async () => {
  await keep('vm', [event(1, { pid: 1, va: 0x1000, pa: 0x5000 })]);
  const partition = join(folder, 'events/day=2026-11-25/host=h');
  const [file, list] = ['.parquet', '.json'].map((end) => readdirSync(partition).find((name) => name.endsWith(end))!);
  const outcome = async () => {
    const { code, stderr } = await run(['query', '--from', folder, 'FROM events']);
    return [code, stderr];
  };
  const whole = readFileSync(join(partition, file!));
  const codes = new Set<unknown>();
  for (let at = 100; at < whole.length - 8; at += Math.floor(whole.length / 24)) {
    const damaged = Buffer.from(whole);
    for (let byte = at; byte < at + 8; byte++) damaged[byte]! ^= 0x5a;
    writeFileSync(join(partition, file!), damaged);
    const [code, message] = await outcome();
    codes.add(code);
    if (code !== 0) expect(message).toMatch(new RegExp(`${file}.*docs/formats/parquet.md`, 's'));
  }
  // DuckDB does not notice all of it.
  expect([...codes].sort()).toEqual([0, 4]);
  writeFileSync(join(partition, file!), 'PAR1 garbage that is long enough to be a file');
  expect(await outcome()).toEqual([4, expect.stringContaining(file!)]);
  rmSync(join(partition, file!));
  expect(await outcome()).toEqual([
    4,
    expect.stringMatching(`^ptmon: ${join(partition, file!)}: is not there\n.*docs/formats/parquet.md`),
  ]);
  const lists = ['{"version":2,"files":[],"lines":{}}', '{"version":1,"files":[1],"lines":{}}'];
  for (const content of ['{"version":', 'null', '{}', ...lists, '{"version":1,"files":[],"lines":null}']) {
    writeFileSync(join(partition, list!), content);
    expect(await outcome()).toEqual([4, expect.stringContaining(`${list!}: damaged list of the archive's files`)]);
  }
});

describe('what the system does not let ptmon read', () => {
  let [partition, file, list] = ['', '', ''];
  beforeEach(async () => {
    await keep('vm', [event(1, { pid: 1, va: 0x1000, pa: 0x5000 })]);
    partition = join(folder, 'events/day=2026-11-25/host=h');
    [file, list] = ['.parquet', '.json'].map((end) => readdirSync(partition).find((name) => name.endsWith(end))!) as [
      string,
      string,
    ];
  });

  const replace = (path: string, target: string) => {
    rmSync(path, { recursive: true });
    symlinkSync(target, path);
  };
  const outcome = async () => {
    const { code, stdout, stderr } = await run(['query', '--from', folder, 'FROM events']);
    expect(stdout).toBe('');
    return [code, stderr];
  };

  // A file of the kernel with a size that refuses to be read, as one on a mount whose object store is away.
  const REFUSES = '/sys/class/net/lo/speed';
  const refuses = (() => {
    try {
      readFileSync(REFUSES);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EINVAL';
    }
    return false;
  })();

  test.runIf(refuses)('a Parquet file: its name, and that it is no damage', async () => {
    replace(join(partition, file), REFUSES);
    expect(await outcome()).toEqual([
      3,
      `ptmon: ${join(partition, file)}: cannot be read (Invalid argument): is its mount there?\n`,
    ]);
  });

  test.runIf(refuses)('a list: its name', async () => {
    replace(join(partition, list), REFUSES);
    expect(await outcome()).toEqual([
      3,
      expect.stringContaining(`${join(partition, list)}: cannot be read (EINVAL): `),
    ]);
  });

  test('folders: the rows in them are not left out without a word', async () => {
    for (const path of [partition, join(partition, '..'), join(folder, 'events')]) {
      replace(path, path);
      expect(await outcome()).toEqual([3, expect.stringContaining(`${path}: cannot be read (ELOOP): `)]);
    }
  });

  test('a list that its folder names, and that is not there, ends the question', { timeout: 20_000 }, () => {
    replace(join(partition, list), 'nowhere');
    const args = [resolve('dist/cli/main.js'), 'query', '--from', folder, 'FROM events'];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 15_000 });
    expect([status, stderr]).toEqual([4, expect.stringContaining(`${list}: damaged list of the archive's files`)]);
  });
});

describe('a question reads the archive, and does nothing else', () => {
  let [secret, file]: [string, string] = ['', ''];
  beforeEach(async () => {
    await keep('vm', [event(1, { pid: 1, va: 0x1000, pa: 0x5000 })]);
    secret = join(folder, 'secret.csv');
    writeFileSync(secret, 'a,b\n1,2\n');
    const partition = join(folder, 'events/day=2026-11-25/host=h');
    file = join(partition, readdirSync(partition).find((name) => name.endsWith('.parquet'))!);
  });

  test.each([
    'SELECT * FROM read_text($secret)',
    'SELECT * FROM read_csv($secret)',
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_parquet('/srv/*/x.parquet')",
    'COPY events TO $new',
    'COPY events TO $file',
    'EXPLAIN ANALYZE COPY (SELECT 1) TO $file (FORMAT parquet)',
    'PREPARE x AS COPY (SELECT 1) TO $file; EXECUTE x',
    'SELECT 1; COPY (SELECT 1) TO $file',
    'ATTACH $new',
    'EXPORT DATABASE $new',
    'INSTALL httpfs',
    'SET enable_external_access = true',
    'SET allowed_directories = []',
  ])('%s', async (statement) => {
    const before = readFileSync(file);
    const named = (text: string) =>
      text
        .replaceAll('$secret', `'${secret}'`)
        .replaceAll('$new', `'${join(folder, 'new')}'`)
        .replaceAll('$file', `'${file}'`);
    const asked = await run(['query', '--from', folder, named(statement)]);
    expect([asked.code, asked.stdout]).toEqual([2, '']);
    const where = await run([
      'query',
      '--from',
      folder,
      'FROM events',
      '--where',
      `true); ${named(statement)}; SELECT (1`,
    ]);
    expect([where.code, where.stdout]).toEqual([2, '']);
    expect(readFileSync(file).equals(before)).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(['events', 'journal', 'secret.csv']);
  });

  test('what a question may do', async () => {
    expect(await query('DESCRIBE events')).not.toEqual([]);
    expect(await query('PIVOT events ON kind USING count(*) GROUP BY vm')).toEqual([{ vm: 'vm', 'page-in': 1 }]);
    expect(await query('CREATE TABLE t AS FROM events; SELECT count(*) AS n FROM t')).toEqual([{ n: 1 }]);
    expect(await query('SELECT count(*) AS n FROM events', '--where', 'pid = 1 -- the first')).toEqual([{ n: 1 }]);
  });

  test('a text without a statement', async () => {
    const { code, stderr } = await run(['query', '--from', folder, '/* nothing */']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('"/* nothing */": no statement in it')]);
  });
});

test('a folder without an archive, and a file, are named', async () => {
  const file = join(folder, 'file');
  writeFileSync(file, '');
  for (const from of [folder, file]) {
    const { code, stderr } = await run(['query', '--from', from, 'lost-events']);
    expect([code, stderr]).toEqual([2, expect.stringContaining(`${from}: no archive`)]);
  }
});

test('where DuckDB is not installed, the error says how to install it', () => {
  const alone = mkdtempSync(join(tmpdir(), 'ptmon-alone-'));
  onTestFinished(() => rmSync(alone, { recursive: true }));
  cpSync('dist', join(alone, 'dist'), { recursive: true });
  cpSync('package.json', join(alone, 'package.json'));
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: object };
  for (const name of Object.keys(dependencies)) {
    cpSync(join('node_modules', name), join(alone, 'node_modules', name), { recursive: true });
  }
  mkdirSync(join(folder, 'events'));
  const args = [join(alone, 'dist/cli/main.js'), 'query', '--from', folder, 'lost-events'];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect([status, stderr]).toEqual([3, expect.stringContaining('npm install @duckdb/node-api')]);
});

describe('an archive that was copied to where DuckDB reads it', () => {
  test('has the rows of the files that count: what was merged is there once', async () => {
    for (let n = 0; n < 3; n++) await keep(`vm-${n}`, [event(n, { pid: 1, va: 0x1000, pa: 0x5000 })]);
    const partition = join(folder, 'events/day=2026-11-25/host=h');
    const [first] = readdirSync(partition).filter((name) => name.endsWith('.parquet'));
    // As a copy has it that was made before and after a merge.
    cpSync(join(partition, first!), join(partition, 'merged-meanwhile.parquet'));
    const { stdout } = await run(['query', '--from', `file://${folder}`, '--json', 'SELECT count(*) AS n FROM events']);
    expect(parse(stdout)).toEqual([{ n: 3 }]);
  });

  test('an address without an archive', async () => {
    const { code, stderr } = await run(['query', '--from', `file://${folder}/none`, 'SELECT 1 FROM events']);
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('/none: no archive: it has no day=…/host=…/files-*.json'),
    ]);
  });

  test('an object store, where the extension of DuckDB cannot be had: what to do', () => {
    // Neither installed, nor to be reached: its proxy is this host, where nothing listens.
    const proxy = 'http://127.0.0.1:1';
    const env = { ...process.env, HOME: folder, HTTP_PROXY: proxy, http_proxy: proxy };
    const args = [resolve('dist/cli/main.js'), 'query', '--from', 's3://bucket/events', 'SELECT 1 FROM events'];
    const { status, stderr } = spawnSync(process.execPath, args, { env, encoding: 'utf8' });
    expect(stderr).toMatch(
      /^ptmon: s3:\/\/bucket\/events: DuckDB needs its extension httpfs, which it could not install: /,
    );
    expect(stderr).toContain('or mount it there, and name that: --from FOLDER');
    expect(status).toBe(3);
  });
});
