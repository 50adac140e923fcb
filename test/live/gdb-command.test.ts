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
  let environment: NodeJS.ProcessEnv = {};
  beforeAll(async () => {
    machine = await WatchedGuest.boot({ cpu: 'max,la57=off' });
    await machine.guest.workload.command(`map 4 small at=${VA}`);
    await machine.guest.workload.command(`touch ${VA} 4`);
  }, 150_000);
  afterAll(() => machine?.stop());

  async function gdb(...commands: readonly string[]): Promise<string> {
    const words = [`source ${SCRIPT}`, `target remote ${machine.guest.gdbPath}`, ...commands];
    const { stdout, stderr } = await run('gdb', ['-batch', '-nx', ...words.flatMap((word) => ['-ex', word])], {
      env: { ...process.env, ...environment },
      timeout: 60_000,
    });
    return stdout + stderr;
  }

  /** What gdb prints where a command fails. */
  const failing = (...commands: readonly string[]) =>
    gdb(...commands).catch((error: { stdout: string; stderr: string }) => error.stdout + error.stderr);

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

  test('Ctrl-C stops the guest and not the watch, which has the QMP socket until it ends', async () => {
    const text = await failing(
      `ptmon watch --va ${VA} --root 0x${machine.root.toString(16)}`,
      // As a terminal does it: to gdb and what it has started.
      'python import threading, time, os, signal; os.setpgid(0, 0)',
      'python threading.Timer(4, lambda: os.killpg(0, signal.SIGINT)).start()',
      'continue',
      'python print("watching", PtmonWatch.is_running())',
      'ptmon translate $rip',
      'ptmon unwatch',
      'ptmon translate $rip',
      'detach',
    );
    expect(text).toContain('watching True');
    expect(text).toMatch(/^`ptmon watch` uses .*qmp.sock: `ptmon unwatch` first/m);
    expect(text.match(/ -> 0x/g)).toHaveLength(1);
  });

  test('what goes wrong is reported as gdb reports errors', async () => {
    const text = await failing(
      'ptmon translate nothing_like_this',
      'ptmon map 1 2 3',
      'ptmon map 1 nothing_either',
      'set ptmon-qmp /no/such',
      'ptmon translate 0',
    );
    for (const said of [/^nothing_like_this: /m, /^usage: ptmon map/m, /^nothing_either: /m, /^ptmon: .*\/no\/such/m])
      expect(text).toMatch(said);
    expect(text).not.toContain('Python Exception');
  });

  test.each([
    ['/no such', 'ptmon cannot be started (', "'/no'"],
    ["'/no such'", 'ptmon cannot be started (', "'/no such'"],
    ["'", 'ptmon cannot be started (No closing quotation)'],
    ['/bin/false', 'ptmon ended with exit code 1'],
  ])('PTMON=%s: says that it cannot be run', async (PTMON, ...expected) => {
    environment = { PTMON };
    const text = await failing('ptmon translate $rip', 'ptmon watch --pid 1').finally(() => (environment = {}));
    for (const part of expected) expect(text).toContain(part);
    expect(text).not.toContain('Python Exception');
  });
});
