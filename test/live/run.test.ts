/** `ptmon run` as a newcomer calls it: whatever ends it, no QEMU and no file of it is left. */
import { existsSync, readdirSync, readFileSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startPtmon } from './ptmon-process.ts';
import { leftOut } from './real-guest.ts';

/** Folders of guests that are there, whoever made them. */
function runFolders(): Set<string> {
  const bases = ['/dev/shm', tmpdir()].filter((base) => existsSync(base));
  return new Set(
    bases.flatMap((base) =>
      readdirSync(base)
        .filter((name) => name.startsWith('ptmon-guest-'))
        .map((name) => join(base, name)),
    ),
  );
}

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** The QEMU that a process has started; undefined where there is none. */
function qemuOf(pid: number | undefined): number | undefined {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return children.find((child) => /qemu/.test(readFileSync(`/proc/${child}/comm`, 'utf8')));
}

describe.skipIf(leftOut('test/live/run, ptmon run'))('ptmon run', { timeout: 120_000 }, () => {
  let before: Set<string>;
  beforeEach(() => {
    before = runFolders();
  });
  afterEach(async () => {
    const left = () => [...runFolders()].filter((folder) => !before.has(folder)).filter(isOurs);
    await expect.poll(left, { timeout: 10_000 }).toEqual([]);
  });
  /** Those of others who use this machine come and go, too. */
  const ours = new Set<string>();
  const isOurs = (folder: string) => ours.has(folder);
  const note = (text: string) => {
    for (const [folder] of text.matchAll(/\/\S*ptmon-guest-\w+/g)) ours.add(folder);
  };

  test('boots a guest and prints what its memory does', async () => {
    const run = startPtmon('run', '--count', '12', '--each', '--verify', '--pace', '20');
    expect(await run.ended).toBe(0);
    note(run.stderr);
    expect(ours.size).toBe(1);
    const lines = run.stdout.split('\n').filter((line) => /^ *[\d.]+ [+-] workload +0x10000000/.test(line));
    expect(lines).toHaveLength(12);
    expect(run.stderr).toMatch(/Booting Linux .* in QEMU[^]*Booted: process \d+, 5-level paging, 1 vCPU/);
    expect(run.stderr).toMatch(/verify: \d+ comparisons with QEMU's own translation, 0 differences/);
  });

  // Where there is room for its file, a guest with memory on both sides of the hole below 4 GiB.
  const isLarge = ['/dev/shm', tmpdir()].some((folder) => existsSync(folder) && freeBytes(folder) > 6 * 2 ** 30);

  test('--no-watch leaves the guest to others; when its QEMU ends, it ends, too', async () => {
    const run = startPtmon('run', '--no-watch', '--pace', '20', '--ram', isLarge ? '5120' : '256');
    await expect.poll(() => run.stderr, { timeout: 30_000 }).toMatch(/Watch it from another terminal/);
    note(run.stderr);
    const [, line = ''] = /\n +ptmon (watch .*)\n/.exec(run.stderr) ?? [];
    const watch = startPtmon(...line.split(' '), '--count', '4', '--each');
    expect(await watch.ended).toBe(0);
    const frames = watch.stdout
      .split('\n')
      .flatMap((each) => /^ *[\d.]+ [+-] .* (0x[0-9a-f]+) +4K/.exec(each)?.[1] ?? []);
    expect(frames).toHaveLength(4);
    // Linux hands out its highest memory first.
    if (isLarge) expect(frames.some((frame) => Number(frame) >= 2 ** 32)).toBe(true);
    process.kill(qemuOf(run.child.pid)!, 'SIGKILL');
    expect(await run.ended).toBe(0);
    expect(run.stderr).toMatch(/The guest has ended: SIGKILL/);
  });

  test('a QEMU that dies while it is watched: exit code 3, and why', async () => {
    const run = startPtmon('run', '--pace', '20', '--json');
    await run.lines(4);
    note(run.stderr);
    process.kill(qemuOf(run.child.pid)!, 'SIGKILL');
    expect(await run.ended).toBe(3);
    expect(run.lastLine()).toMatchObject({ kind: 'end', ended: 'failed' });
  });

  test.each([50, 200, 400, 800, 1600])('Ctrl-C after %i ms, while it starts: nothing is left', async (afterMs) => {
    const run = startPtmon('run');
    await sleep(afterMs);
    const qemu = existsSync(`/proc/${run.child.pid}`) ? qemuOf(run.child.pid) : undefined;
    run.child.kill('SIGINT');
    // Before it has begun, the signal is not ours to catch.
    expect([130, 'SIGINT']).toContain(await run.ended);
    note(run.stderr);
    expect(run.stderr).not.toMatch(/\n +at /);
    if (qemu !== undefined) await expect.poll(() => existsSync(`/proc/${qemu}`), { timeout: 10_000 }).toBe(false);
  });
});
