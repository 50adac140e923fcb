/** gdb/ptmon.py in a real gdb that has the guest's gdbstub. */
import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { QmpClient } from '../../src/drivers/qemu/index.ts';
import { leftOut } from './real-guest.ts';
import { WatchedGuest } from './watched-guest.ts';

const SCRIPT = join(import.meta.dirname, '../../gdb/ptmon.py');
const MAIN = join(import.meta.dirname, '../../dist/cli/main.js');
const VA = '0x100000800000';
const run = promisify(execFile);

function missingGdb(): string | undefined {
  try {
    execFileSync('gdb', ['-batch', '-nx', '-ex', 'python print(gdb.VERSION)'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'gdb with Python is missing (Debian: apt-get install gdb)';
  }
}

describe.skipIf(leftOut('test/live/gdb-command, ptmon in gdb', missingGdb))('ptmon in gdb', { timeout: 90_000 }, () => {
  let machine: WatchedGuest;
  beforeAll(async () => {
    machine = await WatchedGuest.boot({ cpu: 'max,la57=off' });
    await machine.guest.workload.command(`map 4 small at=${VA}`);
    await machine.guest.workload.command(`touch ${VA} 4`);
  }, 150_000);
  afterAll(() => machine?.stop());

  async function gdb(...commands: readonly string[]): Promise<string> {
    const words = [`source ${SCRIPT}`, `target remote ${machine.guest.gdbPath}`, ...commands];
    const { stdout, stderr } = await run('gdb', ['-batch', '-nx', ...words.flatMap((word) => ['-ex', word])], {
      env: { ...process.env, PTMON: `${process.execPath} ${MAIN}` },
      timeout: 60_000,
    });
    return stdout + stderr;
  }

  test('translate and map agree with QEMU, and find the VM by its gdbstub', async () => {
    const text = await gdb('ptmon translate $rip', 'ptmon map $rip 4096', 'printf "rip %#lx\\n", $rip');
    const rip = /^rip (0x[\da-f]+)$/m.exec(text)![1]!;
    const [, va, pa] = /^(0x[\da-f]+) -> (0x[\da-f]+) {2}r.x. {2}page of \d+ bytes$/m.exec(text)!;
    expect(BigInt(va!)).toBe(BigInt(rip));
    expect(text).toMatch(/^ {2}PML4E +0x[\da-f]+ +0x[\da-f]+ {2}present, /m);
    const [, start, end] = /^ *(0x[\da-f]+)-(0x[\da-f]+) +r.x. +\d+ pages/m.exec(text)!;
    expect([BigInt(start!) <= BigInt(rip), BigInt(end!) > BigInt(rip)]).toEqual([true, true]);
    const qmp = await QmpClient.connect(machine.guest.qmpPath);
    try {
      // The kernel's text is mapped alike in every address space.
      const said = await qmp.humanMonitor(`gva2gpa ${rip}`);
      if (BigInt(rip) >= 1n << 63n) expect(said).toContain(`gpa: ${pa}`);
    } finally {
      await qmp.close();
    }
  });

  test('the guest stays as gdb has it, and runs on when gdb leaves', async () => {
    const text = await gdb('ptmon translate $rip', 'stepi', 'ptmon translate $rip', 'detach');
    expect(text.match(/ -> 0x/g)).toHaveLength(2);
    await machine.guest.workload.command(`touch ${VA} 1`, { timeoutMs: 20_000 });
  });

  test('watch reports by samples while the guest runs under gdb', async () => {
    const root = `0x${(machine.root & 0xf_ffff_ffff_f000n).toString(16)}`;
    const { firstVa } = machine.guest.workload.hello!;
    // Touches, protects and unmaps pages until the guest ends.
    void machine.guest.workload.command('play 20', { timeoutMs: 2 ** 31 - 1 }).catch(() => {});
    const text = await gdb(
      `ptmon watch --root ${root} --va 0x${firstVa.toString(16)}+32K=here --interval 5`,
      // gdb lets the guest run for a while, and then stops it.
      'python import threading, time, os, signal; threading.Timer(5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()',
      'continue',
      'ptmon unwatch',
      'detach',
    );
    expect(text).toMatch(/ptmon: page-(in|out) here 0x[\da-f]+ 0x[\da-f]+ \d+ page\(s\)/);
  });

  test('what goes wrong is reported as gdb reports errors', async () => {
    const text = await gdb(
      'ptmon translate nothing_like_this',
      'ptmon map 1 2 3',
      'set ptmon-qmp /no/such',
      'ptmon translate 0',
    ).catch((error: { stdout: string; stderr: string }) => error.stdout + error.stderr);
    expect(text).toMatch(/nothing_like_this/);
    const other = await gdb('set ptmon-qmp /no/such', 'ptmon translate 0').catch(
      (error: { stdout: string; stderr: string }) => error.stdout + error.stderr,
    );
    expect(other).toMatch(/ptmon: .*\/no\/such/);
  });
});
