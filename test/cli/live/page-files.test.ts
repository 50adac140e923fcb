import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openPageFiles } from '../../../src/cli/live/page-files.ts';
import { SparseMemory } from '../../../src/core/memory/sparse-memory.ts';
import type { PageEvent } from '../../../src/core/monitor/events.ts';
import { temporaryFolder } from '../../drivers/trace/temporary-folder.ts';

const file = temporaryFolder();

function pageIn(va: bigint, pa: number, more: Partial<PageEvent> = {}): PageEvent {
  const base = { kind: 'page-in' as const, view: 0, root: 0x1000, tags: [], vcpu: 0, cause: null, pages: 1 };
  return { ...base, va, pa, pageSize: 4096, ...more } as PageEvent;
}

function opened(folder: string) {
  const memory = new SparseMemory();
  for (const gfn of [5, 6]) {
    memory.addPage(gfn);
    memory.writeU64(gfn * 4096 + 8, 0x1111 * gfn, 0);
  }
  const lines: string[] = [];
  const say = (line: string) => lines.push(line);
  const files = openPageFiles({ folder, driver: { memory }, say, signal: new AbortController().signal });
  return { files, lines };
}

const indexOf = (folder: string) =>
  readFileSync(join(folder, 'pages.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

test('each page of a run is kept in a file of its own, and what is outside RAM is reported', async () => {
  const folder = file('new/pages');
  const { files, lines } = opened(folder);
  await files.write(pageIn(0x7000n, 0x5000, { pages: 3, pid: 7, comm: '../../x\n\u001b[2J', map: '/etc/passwd' }));
  await files.write({ ...pageIn(0x7000n, 0x5000), kind: 'page-out' });
  await files.write(pageIn(0xffff_8000_0000_0123n, 0x6123));
  await files.end();
  const names = ['00000000-0000000000007000.bin', '00000000-0000000000008000.bin', '00000002-ffff800000000000.bin'];
  expect(readdirSync(folder).sort()).toEqual([...names, 'pages.jsonl']);
  expect(names.map((name) => readFileSync(join(folder, name)).readUInt32LE(8))).toEqual([0x5555, 0x6666, 0x6666]);
  expect(names.map((name) => readFileSync(join(folder, name)).length)).toEqual([4096, 4096, 4096]);
  expect(indexOf(folder)).toMatchObject([
    { file: names[0], seq: 0, va: '0x7000', pa: '0x5000', pid: 7, map: '/etc/passwd' },
    { file: names[1], va: '0x8000', pa: '0x6000' },
    { unread: 'the physical address behind it is not RAM', va: '0x9000', pa: '0x7000' },
    { file: names[2], seq: 2, va: '0xffff800000000000', pa: '0x6000' },
  ]);
  expect(lines).toEqual([`3 pages kept in ${folder}; 1 could not be read (see pages.jsonl).`]);
});

test('a folder that has something in it, and a file in its place, are refused', () => {
  const folder = file('full');
  mkdirSync(folder);
  writeFileSync(join(folder, 'mine'), 'x');
  expect(() => opened(folder)).toThrow(/--dump-pages .*full: is not empty; give a new folder/);
  expect(() => opened(join(folder, 'mine'))).toThrow(/--dump-pages .*mine: EEXIST/);
});

test('what appears in the folder meanwhile is not overwritten, nor followed where it is a link', async () => {
  for (const name of ['00000000-0000000000007000.bin', 'pages.jsonl']) {
    const [folder, target] = [file(`late-${name}`), file(`target-${name}`)];
    const { files } = opened(folder);
    writeFileSync(target, 'precious');
    symlinkSync(target, join(folder, name));
    await expect(files.write(pageIn(0x7000n, 0x5000))).rejects.toMatchObject({ code: 'write-failed' });
    expect(readFileSync(target, 'utf8')).toBe('precious');
  }
});

const limitFiles = (bytes: string) => spawnSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:`]).status;

test.skipIf(limitFiles('unlimited') !== 0).each([
  ['a page has no room', 4000, 0],
  ['the index has none', 4096, 20],
])('%s: no part of a page is left, none of a line, and no page without a line', async (_what, bytes, pages) => {
  const folder = file(`no-room-${bytes}`);
  const { files, lines } = opened(folder);
  try {
    limitFiles(String(bytes));
    const write = async () => {
      for (let at = 0n; at < 100n; at++) await files.write(pageIn(at * 0x1000n, 0x5000));
    };
    await expect(write()).rejects.toMatchObject({ code: 'write-failed', message: expect.stringContaining('EFBIG') });
  } finally {
    limitFiles('unlimited');
  }
  await files.end();
  const names = readdirSync(folder).filter((name) => name.endsWith('.bin'));
  expect(names.length).toBeGreaterThanOrEqual(pages);
  expect(names.map((name) => readFileSync(join(folder, name)).length)).toEqual(names.map(() => 4096));
  expect(pages === 0 ? [] : indexOf(folder).map(({ file: name }) => name)).toEqual(names.sort());
  expect(lines).toEqual([`${names.length} pages kept in ${folder}.`]);
});
