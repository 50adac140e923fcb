/** `ptmon watch` on a real guest, as processes: however one ends, the guest runs on with no watchpoint left. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { QmpClient } from '../../src/drivers/qemu/qmp/client.ts';
import { childrenOf, type PtmonProcess, startCrashingPtmon, startPtmon } from './ptmon-process.ts';
import { leftOut } from './real-guest.ts';
import { WatchedGuest } from './watched-guest.ts';

const VA = 0x600000000000n;
const hex = (value: bigint): string => `0x${value.toString(16)}`;

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

  beforeAll(async () => {
    machine = await WatchedGuest.boot({ cpu: 'max', allowReboot: true });
    await machine.guest.workload.command(`map 4 small at=${hex(VA)}`);
  }, 150_000);
  afterAll(() => machine?.stop());

  /** A watch whose first event has come, while the workload goes on changing pages. */
  async function started(...args: readonly string[]): Promise<PtmonProcess> {
    const watch = startPtmon('watch', ...sockets(), ...place(), '--json', ...args);
    await watch.lines(1);
    void machine.guest.workload.command(`loop fault 400 pages=4 at=${hex(VA)}`, { timeoutMs: 30_000 }).catch(() => {});
    await watch.lines(6);
    return watch;
  }

  test('--count ends it, exit code 0, and what it prints is what happened', async () => {
    const watch = await started('--count', '20', '--verify');
    expect(await watch.ended).toBe(0);
    const lines = watch.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines[0]).toMatchObject({ kind: 'header', source: 'qemu', mode: '5-level', options: { watch: 'exact' } });
    const events = lines.filter(({ seq }) => seq !== undefined);
    expect(events).toHaveLength(20);
    expect(events[0]).toMatchObject({
      v: 1,
      kind: 'page-in',
      seq: 0,
      root: hex(machine.root),
      tags: ['here'],
      vcpu: 0,
    });
    expect(lines.at(-1)).toMatchObject({ kind: 'end', ended: 'stopped', lost: { known: 0, unknown: false } });
    expect(watch.stderr).toMatch(/Exact: the guest stops after each write/);
    expect(watch.stderr).toMatch(/verify: \d+ comparisons with QEMU's own translation, 0 differences/);
    await expectFree(machine);
  });

  test('--verify compares at every stop, that of the last event among them', async () => {
    const watch = await started('--count', '6', '--verify');
    expect(await watch.ended).toBe(0);
    const stops = Number(/(\d+) stops/.exec(watch.stderr)?.[1]);
    expect(watch.stderr).toContain(`verify: ${stops * 4} comparisons`);
    await expectFree(machine);
  });

  test('a range of terabytes costs what is mapped in it', async () => {
    const everything = ['--root', hex(machine.root), '--va', '0x0+127T=all'];
    const watch = startPtmon('watch', ...sockets(), ...everything, '--count', '3', '--json');
    await watch.lines(1);
    void machine.guest.workload.command(`loop fault 100 pages=4 at=${hex(VA)}`).catch(() => {});
    expect(await watch.ended).toBe(0);
    expect(watch.stdout.split('\n').filter((line) => line.includes('"kind":"page-'))).toHaveLength(3);
    const verified = startPtmon('watch', ...sockets(), ...everything, '--verify');
    expect(await verified.ended).toBe(2);
    expect(verified.stderr).toMatch(/--verify takes at most 65536 pages, not 34091302912/);
    await expectFree(machine);
  });

  test('a reader that does not read: told to end, it lets the guest go', async () => {
    const watch = startPtmon('watch', ...sockets(), ...place(), '--json');
    await watch.lines(1);
    watch.child.stdout!.pause();
    let isDone = false;
    const loop = machine.guest.workload.command(`loop fault 2000 pages=4 at=${hex(VA)}`).finally(() => (isDone = true));
    // The pipe is full after some thirty rounds. The guest stands still then: a slow reader slows it, and loses nothing.
    await sleep(2000);
    expect(isDone).toBe(false);
    watch.child.kill('SIGTERM');
    await loop;
    await expectFree(machine);
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
    ['SIGQUIT', 131],
  ] as const)('%s: the end line, exit code %i, and the guest runs on', async (signal, code) => {
    const watch = await started();
    watch.child.kill(signal);
    expect(await watch.ended).toBe(code);
    expect(watch.lastLine()).toMatchObject({ kind: 'end', ended: 'stopped' });
    await expectFree(machine);
  });

  test('two signals at once: it ends at once, and the guest runs on', async () => {
    const watch = await started();
    watch.child.kill('SIGINT');
    watch.child.kill('SIGTERM');
    expect([130, 143]).toContain(await watch.ended);
    await expectFree(machine);
  });

  test('a crash at any moment: the guest runs on', async () => {
    const codes: unknown[] = [];
    // From before it connects until after it has begun: some 70 ms apart.
    for (let afterMs = 300; afterMs < 900; afterMs += 50 + Math.round(Math.random() * 40)) {
      const watch = startCrashingPtmon(afterMs, 'watch', ...sockets(), ...place(), '--json');
      codes.push(await watch.ended);
      expect(watch.stderr).toMatch(/Error: a bug/);
      expect(await statusOf(machine), `after ${afterMs} ms`).toBe('running');
    }
    expect(new Set(codes)).toEqual(new Set([1]));
    await expectFree(machine);
  });

  test('Ctrl-Z: the guest runs unwatched while the command is suspended, and is watched again after', async () => {
    const watch = await started();
    watch.child.kill('SIGTSTP');
    await expect.poll(() => stateOf(watch.child.pid!), { timeout: 10_000 }).toBe('T');
    for (let round = 0; round < 3; round++) await expectIdle();
    await machine.guest.workload.command(`dontneed ${hex(VA)} 4`);
    watch.child.kill('SIGCONT');
    await expect.poll(() => watch.stderr, { timeout: 10_000 }).toMatch(/The guest ran unwatched meanwhile/);
    const before = watch.stdout.length;
    await machine.guest.workload.command(`touch ${hex(VA)} 4`);
    const pageIns = () => watch.stdout.slice(before).match(/"kind":"page-in"/g)?.length ?? 0;
    await expect.poll(pageIns, { timeout: 10_000 }).toBe(4);
    watch.child.kill('SIGINT');
    expect(await watch.ended).toBe(130);
    expect(watch.lastLine()).toMatchObject({ kind: 'end', lost: { unknown: true } });
    // Each address alternates: nothing was reported twice, and nothing of what lasted was missed (E1).
    const stream = watch.stdout.split('\n').filter((line) => line.includes('"kind":"page-'));
    const last = new Map<string, string>();
    for (const { va, kind } of stream.map((line) => JSON.parse(line))) {
      expect(kind).not.toBe(last.get(va));
      last.set(va, kind);
    }
    await expectFree(machine);
  });

  test('Ctrl-Z while nobody reads the output', async () => {
    const watch = startPtmon('watch', ...sockets(), ...place(), '--json');
    await watch.lines(1);
    watch.child.stdout!.pause();
    const loop = machine.guest.workload.command(`loop fault 2000 pages=4 at=${hex(VA)}`);
    await sleep(2000);
    watch.child.kill('SIGTSTP');
    await expect.poll(() => stateOf(watch.child.pid!), { timeout: 10_000 }).toBe('T');
    await loop;
    watch.child.kill('SIGCONT');
    await expect.poll(() => watch.stderr, { timeout: 10_000 }).toMatch(/The guest ran unwatched meanwhile/);
    watch.child.kill('SIGTERM');
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

  test('killed together with its guardian, it leaves the guest stopped; doctor --release resumes it', async () => {
    const watch = await started();
    for (const guardian of childrenOf(watch.child.pid!)) process.kill(guardian, 'SIGKILL');
    watch.child.kill('SIGKILL');
    expect(await watch.ended).toBe('SIGKILL');
    await expect.poll(() => statusOf(machine), { timeout: 20_000 }).toBe('debug');
    const doctor = startPtmon('doctor', ...sockets(), '--release');
    expect(await doctor.ended).toBe(0);
    await expectFree(machine);
  });

  test('--mode sample of a guest that is paused says so', async () => {
    const pausing = await QmpClient.connect(machine.guest.qmpPath);
    await pausing.execute('stop');
    await pausing.close();
    const watch = startPtmon('watch', '--qmp', machine.guest.qmpPath, ...place(), '--interval', '5', '--duration', '2');
    await expect.poll(() => watch.stderr, { timeout: 20_000 }).toMatch(/Paused by another QEMU client \(paused\)/);
    expect(await watch.ended).toBe(0);
    const resuming = await QmpClient.connect(machine.guest.qmpPath);
    await resuming.execute('cont');
    await resuming.close();
    await expectFree(machine);
  });

  test('--mode sample sees what lasts, says what it does not see, and the guest never stands still', async () => {
    await machine.guest.workload.command(`dontneed ${hex(VA)} 4`);
    const watch = startPtmon(
      'watch',
      '--qmp',
      machine.guest.qmpPath,
      ...place(),
      '--interval',
      '5',
      '--count',
      '4',
      '--each',
      '--no-proof',
    );
    await expect.poll(() => watch.stderr, { timeout: 20_000 }).toMatch(/Sampling every 5 ms/);
    await machine.guest.workload.command(`touch ${hex(VA)} 2`);
    // In another sample.
    await expect.poll(() => watch.stdout, { timeout: 20_000 }).toMatch(/^ +\d+\.\d{3} \+ here/m);
    await machine.guest.workload.command(`touch ${hex(VA)} 4`);
    expect(await watch.ended).toBe(0);
    expect(watch.stdout.split('\n').slice(1, 5)).toEqual(
      [0, 1, 2, 3].map((page) =>
        expect.stringMatching(new RegExp(`^ +[\\d.]+ \\+ here +${hex(VA + BigInt(page) * 4096n)} `)),
      ),
    );
    expect(watch.stdout).toMatch(/an unknown number of events lost/);
    expect(watch.stderr).toMatch(/\d+ samples, one every [\d.]+ ms .*changed back between two of them was missed/);
    await expectFree(machine);
  });

  test.each([
    [
      'no such socket',
      () => ['--qmp', '/nonexistent/qmp', '--gdb', '/nonexistent/gdb', ...place()],
      3,
      /\/nonexistent\/qmp does not exist/,
    ],
    [
      'half of what exact watching takes',
      () => ['--gdb', machine.guest.gdbPath, ...place()],
      2,
      /needs --qmp, and --gdb/,
    ],
    [
      "--record onto the guest's own RAM",
      () => [...sockets(), ...place(), '--record', machine.guest.ramFile, '--force'],
      2,
      /is in use by process \d+ \(qemu/,
    ],
    [
      '--record onto its kernel',
      () => [...sockets(), ...place(), '--record', machine.guest.kernel.path],
      2,
      /not a trace/,
    ],
    [
      '--record onto its socket',
      () => [...sockets(), ...place(), '--record', machine.guest.qmpPath],
      2,
      /cannot be written/,
    ],
    ['nothing to watch', () => [...sockets()], 2, /--va/],
    ['an address that is none', () => [...sockets(), '--va', 'main'], 2, /--va main: the kernel has no such symbol/],
    ['an address that is not canonical', () => [...sockets(), '--va', '0x1000000000000000'], 2, /0x1000000000000000/],
    [
      'too many watchpoints',
      () => [...sockets(), ...place(), '--max-watchpoints', '1'],
      3,
      /watchpoints are needed, and 1 are allowed/,
    ],
    [
      'a RAM file without paging',
      () => ['--ram-file', machine.guest.ramFile, ...place()],
      2,
      /give the paging mode with --paging/,
    ],
  ] as const)('%s: exit code and a sentence', async (_, args, code, message) => {
    const watch = startPtmon('watch', ...args());
    expect(await watch.ended).toBe(code);
    expect(watch.stderr).toMatch(message);
    expect(watch.stderr).not.toMatch(/\n +at /);
    await expectFree(machine);
  });

  test('a guest that reboots: everything up to there, and exit code 3', async () => {
    const watch = await started();
    await expectIdle();
    void machine.guest.workload.command('reboot').catch(() => {});
    expect(await watch.ended).toBe(3);
    expect(watch.stderr).toMatch(/the guest was reset/);
    expect(watch.lastLine()).toMatchObject({
      kind: 'end',
      ended: 'failed',
      failure: { code: 'source-unavailable' },
    });
    await machine.guest.workload.ready();
    expect(await statusOf(machine)).toBe('running');
  });

  /** Of a process: `T` where it is stopped. proc(5). */
  const stateOf = (pid: number): string => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]![0]!;

  /** The loop that `started` began has ended. */
  async function expectIdle(): Promise<void> {
    await machine.guest.workload.command('hello', { timeoutMs: 60_000 });
  }

  test('a guest that powers off: that is its end, and exit code 0', async () => {
    await ready();
    const watch = await started();
    await expectIdle();
    void machine.guest.workload.command('poweroff').catch(() => {});
    expect(await watch.ended).toBe(0);
    expect(watch.lastLine()).toMatchObject({ kind: 'end', ended: 'finished' });
    await machine.stop();
    machine = await WatchedGuest.boot({ cpu: 'max' });
  });

  /** What watches take for granted, in a guest that has booted anew. */
  async function ready(): Promise<void> {
    await machine.guest.waitForReady();
    await machine.guest.workload.command(`map 4 small at=${hex(VA)}`);
    await machine.findRoot();
  }

  test('a QEMU that dies: everything up to there, and exit code 3', async () => {
    await ready();
    const watch = await started();
    process.kill(machine.guest.pid, 'SIGKILL');
    expect(await watch.ended).toBe(3);
    expect(watch.stdout.trimEnd().split('\n').length).toBeGreaterThan(5);
    expect(watch.lastLine()).toMatchObject({ kind: 'end', ended: 'failed' });
  });
});
