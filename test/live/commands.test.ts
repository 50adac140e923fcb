/** `ptmon watch` on a real guest, as processes: however one ends, the guest runs on with no watchpoint left. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { QmpClient } from '../../src/drivers/qemu/qmp/client.ts';
import { leftOut } from './real-guest.ts';
import { WatchedGuest } from './watched-guest.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const VA = 0x600000000000n;
const hex = (value: bigint): string => `0x${value.toString(16)}`;

interface Running {
  readonly child: ChildProcess;
  readonly stdout: string;
  readonly stderr: string;
  /** Resolves when standard output has so many lines, or the process has ended. */
  lines(count: number): Promise<void>;
  readonly ended: Promise<number | NodeJS.Signals | null>;
}

function ptmon(...args: readonly string[]): Running {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  let wake = () => {};
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    wake();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = once(child, 'close').then(
    ([code, signal]: (number | NodeJS.Signals | null)[]) => code ?? signal ?? null,
  );
  let isOver = false;
  void ended.then(() => {
    isOver = true;
    wake();
  });
  return {
    child,
    get stdout() {
      return stdout;
    },
    get stderr() {
      return stderr;
    },
    lines: (count) =>
      new Promise((resolve) => {
        wake = () => (isOver || stdout.split('\n').length > count ? resolve() : undefined);
        wake();
      }),
    ended,
  };
}

async function statusOf(machine: WatchedGuest): Promise<string> {
  const qmp = await QmpClient.connect(machine.guest.qmpPath);
  const { status } = (await qmp.execute('query-status')) as { status: string };
  await qmp.close();
  return status;
}

/** The guest does what it is told, and its tables are written to without a stop. */
async function expectFree(machine: WatchedGuest): Promise<void> {
  await machine.guest.workload.command(`touch ${hex(VA)} 4`, { timeoutMs: 20_000 });
  await machine.guest.workload.command(`dontneed ${hex(VA)} 4`, { timeoutMs: 20_000 });
  expect(await statusOf(machine)).toBe('running');
}

const isHere = !leftOut('test/live/commands, ptmon watch on a real guest');

describe.skipIf(!isHere)('ptmon watch on a real guest', { timeout: 120_000 }, () => {
  let machine: WatchedGuest;
  const sockets = () => ['--qmp', machine.guest.qmpPath, '--gdb', machine.guest.gdbPath];
  const place = () => ['--root', hex(machine.root), '--va', `${hex(VA)}+16K=here`];
  let running: Running | undefined;

  beforeAll(async () => {
    machine = await WatchedGuest.boot({ cpu: 'max', allowReboot: true });
    await machine.guest.workload.command(`map 4 small at=${hex(VA)}`);
  }, 150_000);
  afterAll(() => machine?.stop());
  afterEach(() => {
    running?.child.kill('SIGKILL');
  });

  /** A watch whose first event has come, while the workload goes on changing pages. */
  async function started(...args: readonly string[]): Promise<Running> {
    running = ptmon('watch', ...sockets(), ...place(), '--json', ...args);
    await running.lines(1);
    void machine.guest.workload.command(`loop fault 400 pages=4 at=${hex(VA)}`).catch(() => {});
    await running.lines(6);
    return running;
  }

  test('--count ends it, exit code 0, and what it prints is what happened', async () => {
    const { ended, ...watch } = await started('--count', '20', '--verify');
    expect(await ended).toBe(0);
    const lines = running!.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines[0]).toMatchObject({ kind: 'header', source: 'qemu', mode: '5-level', options: { watch: 'exact' } });
    expect(lines.slice(1, -1)).toHaveLength(20);
    expect(lines[1]).toMatchObject({ v: 1, kind: 'page-in', seq: 0, root: hex(machine.root), tags: ['here'], vcpu: 0 });
    expect(lines.at(-1)).toMatchObject({ kind: 'end', ended: 'stopped', lost: { known: 0, unknown: false } });
    expect(running!.stderr).toMatch(/Exact: the guest stops after each write/);
    expect(running!.stderr).toMatch(/verify: \d+ comparisons with QEMU's own translation, 0 differences/);
    expect(watch.child.pid).toBeDefined();
    await expectFree(machine);
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s: the end line, exit code %i, and the guest runs on', async (signal, code) => {
    const watch = await started();
    watch.child.kill(signal);
    expect(await watch.ended).toBe(code);
    expect(JSON.parse(watch.stdout.trimEnd().split('\n').at(-1)!)).toMatchObject({ kind: 'end', ended: 'stopped' });
    await expectFree(machine);
  });

  test('two signals at once: it ends at once, and the guest runs on', async () => {
    const watch = await started();
    watch.child.kill('SIGINT');
    watch.child.kill('SIGTERM');
    expect([130, 143]).toContain(await watch.ended);
    await expectFree(machine);
  });

  test('a reader that goes away ends it quietly', async () => {
    const watch = await started();
    watch.child.stdout!.destroy();
    expect(await watch.ended).toBe(0);
    await expectFree(machine);
  });

  test('--duration ends it', async () => {
    const watch = await started('--duration', '1');
    expect(await watch.ended).toBe(0);
    await expectFree(machine);
  });

  test('killed, it leaves the guest stopped; doctor --release frees it', async () => {
    const watch = await started();
    watch.child.kill('SIGKILL');
    expect(await watch.ended).toBe('SIGKILL');
    await expect.poll(() => statusOf(machine), { timeout: 20_000 }).toBe('debug');
    const doctor = ptmon('doctor', ...sockets(), '--release');
    expect(await doctor.ended).toBe(0);
    await expectFree(machine);
  });

  test('--mode sample sees what lasts, says what it does not see, and the guest never stands still', async () => {
    await machine.guest.workload.command(`dontneed ${hex(VA)} 4`);
    running = ptmon('watch', '--qmp', machine.guest.qmpPath, ...place(), '--interval', '5', '--count', '4');
    await expect.poll(() => running!.stderr, { timeout: 20_000 }).toMatch(/Sampling every 5 ms/);
    await machine.guest.workload.command(`touch ${hex(VA)} 4`);
    expect(await running.ended).toBe(0);
    expect(running.stdout.split('\n').slice(0, 4)).toEqual(
      [0, 1, 2, 3].map((page) => expect.stringMatching(new RegExp(`^\\+ here +${hex(VA + BigInt(page) * 4096n)} `))),
    );
    expect(running.stdout).toMatch(/an unknown number of events lost/);
    expect(running.stderr).toMatch(/\d+ samples, one every [\d.]+ ms .*changed back between two of them was not seen/);
    await expectFree(machine);
  });

  test.each([
    [
      'no such socket',
      () => ['--qmp', '/nonexistent/qmp', '--gdb', '/nonexistent/gdb', ...place()],
      3,
      /\/nonexistent\/qmp: no such file/,
    ],
    [
      'half of what exact watching takes',
      () => ['--gdb', machine.guest.gdbPath, ...place()],
      2,
      /takes --qmp and --gdb/,
    ],
    ['nothing to watch', () => [...sockets()], 2, /--va/],
    ['an address that is none', () => [...sockets(), '--va', 'main'], 2, /Write 0x…/],
    ['an address that is not canonical', () => [...sockets(), '--va', '0x1000000000000000'], 2, /0x1000000000000000/],
    [
      'too many watchpoints',
      () => [...sockets(), ...place(), '--max-watchpoints', '1'],
      3,
      /watchpoints would be needed, and 1 are allowed/,
    ],
    ['a RAM file without paging', () => ['--ram-file', machine.guest.ramFile, ...place()], 2, /give --paging/],
  ] as const)('%s: exit code and a sentence', async (_, args, code, message) => {
    running = ptmon('watch', ...args());
    expect(await running.ended).toBe(code);
    expect(running.stderr).toMatch(message);
    expect(running.stderr).not.toMatch(/\n +at /);
    await expectFree(machine);
  });

  test('a guest that reboots: everything up to there, and exit code 3', async () => {
    const watch = await started();
    await expectIdle();
    void machine.guest.workload.command('reboot').catch(() => {});
    expect(await watch.ended).toBe(3);
    expect(watch.stderr).toMatch(/the guest was reset/);
    expect(JSON.parse(watch.stdout.trimEnd().split('\n').at(-1)!)).toMatchObject({
      kind: 'end',
      ended: 'failed',
      failure: { code: 'source-unavailable' },
    });
    await machine.guest.workload.ready();
    expect(await statusOf(machine)).toBe('running');
  });

  /** The loop that `started` began has ended. */
  async function expectIdle(): Promise<void> {
    await machine.guest.workload.command('hello', { timeoutMs: 60_000 });
  }

  test('a QEMU that dies: everything up to there, and exit code 3', async () => {
    await machine.guest.waitForReady();
    await machine.guest.workload.command(`map 4 small at=${hex(VA)}`);
    await machine.findRoot();
    const watch = await started();
    process.kill(machine.guest.pid, 'SIGKILL');
    expect(await watch.ended).toBe(3);
    expect(watch.stdout.trimEnd().split('\n').length).toBeGreaterThan(5);
    expect(JSON.parse(watch.stdout.trimEnd().split('\n').at(-1)!)).toMatchObject({ kind: 'end', ended: 'failed' });
  });
});
