/** Whatever ends a process that watches a real guest, the guest runs on within two seconds with no watchpoint left. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { QmpClient } from '../../src/drivers/qemu/qmp/client.ts';
import { childrenOf, type PtmonProcess, startNode, startPtmon } from './ptmon-process.ts';
import { leftOut } from './real-guest.ts';
import { WatchedGuest } from './watched-guest.ts';

const VA = 0x600000000000n;
const SCRIPT = fileURLToPath(new URL('scripts/watch.mjs', import.meta.url));
const LIMIT_MS = 2000;
const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** As `ps` prints it: T where it is suspended. */
const stateOf = (pid: number): string =>
  readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .charAt(0);

/** Every signal whose default action ends a process, but for those that Node keeps to itself (USR1) or ignores (PIPE, XFSZ). */
const SIGNALS = [
  ...['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGALRM', 'SIGXCPU', 'SIGVTALRM', 'SIGPROF', 'SIGIO'],
  ...['SIGPWR', 'SIGSTKFLT', 'SIGABRT', 'SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP', 'SIGSYS', 'SIGKILL'],
] as readonly NodeJS.Signals[];

const isHere = !leftOut('test/live/guardian, processes that end in every way');

describe.skipIf(!isHere)('whatever ends a process that watches', { timeout: 120_000 }, () => {
  let machine: WatchedGuest;
  const slowest = { ms: 0, of: '' };

  beforeAll(async () => {
    machine = await WatchedGuest.boot({ cpu: 'max' });
    await machine.guest.workload.command(`map 4 small at=${hex(VA)}`);
  }, 150_000);
  afterAll(async () => {
    console.log(`the guest ran on after ${slowest.ms.toFixed(0)} ms at most (${slowest.of})`);
    await machine?.stop();
  });

  const work = () =>
    void machine.guest.workload.command(`loop fault 300 pages=4 at=${hex(VA)}`, { timeoutMs: 60_000 }).catch(() => {});

  /** A script whose first events have come, while the workload goes on changing pages. */
  async function startScript(): Promise<PtmonProcess> {
    const { qmpPath, gdbPath } = machine.guest;
    const script = startNode(SCRIPT, qmpPath, gdbPath, hex(machine.root), hex(VA));
    await script.lines(1);
    work();
    await script.lines(6);
    return script;
  }

  /** The guest runs, and goes on running while its watched tables are written to. */
  async function expectReleased(name: string): Promise<void> {
    const start = performance.now();
    const qmp = await connectLater();
    const status = async () => ((await qmp.execute('query-status')) as { status: string }).status;
    // Five times in a row: it might only run until the next watchpoint.
    for (let running = 0; running < 5; ) {
      running = (await status()) === 'running' ? running + 1 : 0;
      if (performance.now() - start > LIMIT_MS + 10_000) throw new Error(`${name}: ${await status()}`);
      await sleep(10);
    }
    const ms = performance.now() - start;
    await qmp.close();
    if (ms > slowest.ms) Object.assign(slowest, { ms, of: name });
    expect(ms, name).toBeLessThan(LIMIT_MS);
    await machine.guest.workload.command(`touch ${hex(VA)} 4`, { timeoutMs: 20_000 });
    await machine.guest.workload.command(`dontneed ${hex(VA)} 4`, { timeoutMs: 20_000 });
  }

  /** QMP serves one client at a time, and the guardian may be it. */
  async function connectLater(): Promise<QmpClient> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await QmpClient.connect(machine.guest.qmpPath, { timeoutMs: 3000 });
      } catch (error) {
        if (attempt === 5) throw error;
      }
    }
  }

  test.each(SIGNALS)('a library script gets %s', async (signal) => {
    const script = await startScript();
    script.child.kill(signal);
    expect(await script.ended).toBe(signal);
    await expectReleased(signal);
  });

  test.each(['SIGUSR2', 'SIGABRT', 'SIGKILL'] as const)('the command gets %s', async (signal) => {
    const place = ['--root', hex(machine.root), '--va', `${hex(VA)}+16K=here`, '--json'];
    const watch = startPtmon('watch', '--qmp', machine.guest.qmpPath, '--gdb', machine.guest.gdbPath, ...place);
    await watch.lines(1);
    work();
    await watch.lines(6);
    watch.child.kill(signal);
    await watch.ended;
    await expectReleased(`the command, ${signal}`);
  });

  test('SIGKILL at any moment, while it connects as well', async () => {
    const { qmpPath, gdbPath } = machine.guest;
    for (let afterMs = 60; afterMs < 700; afterMs += 40) {
      const script = startNode(SCRIPT, qmpPath, gdbPath, hex(machine.root), hex(VA));
      work();
      await sleep(afterMs);
      script.child.kill('SIGKILL');
      await script.ended;
      await expectReleased(`SIGKILL after ${afterMs} ms`);
    }
  });

  test('SIGKILL of its whole process group', async () => {
    const script = await startScript();
    // It was not started in a group of its own; so this takes the processes one by one, the guardian left out by its session.
    const [guardian] = childrenOf(script.child.pid!);
    const session = (pid: number): number =>
      Number(execFileSync('ps', ['-o', 'sid=', '-p', String(pid)], { encoding: 'utf8' }));
    expect(session(guardian!)).toBe(guardian);
    script.child.kill('SIGKILL');
    await script.ended;
    await expectReleased('SIGKILL of the group');
  });

  test('a library script is suspended (Ctrl-Z), and goes on', async () => {
    const script = await startScript();
    script.child.kill('SIGTSTP');
    await expect.poll(() => stateOf(script.child.pid!), { timeout: 10_000 }).toBe('T');
    // QMP has one client, the suspended script: the workload tells whether the guest runs, with no watchpoint in the way.
    for (let round = 0; round < 5; round++) {
      await machine.guest.workload.command(`touch ${hex(VA)} 4`, { timeoutMs: 20_000 });
      await machine.guest.workload.command(`dontneed ${hex(VA)} 4`, { timeoutMs: 20_000 });
    }
    script.child.kill('SIGCONT');
    const before = script.stdout.length;
    work();
    await expect.poll(() => script.stdout.slice(before), { timeout: 10_000 }).toMatch(/page-in\npage-out\n/);
    script.child.kill('SIGKILL');
    await script.ended;
    await expectReleased('SIGKILL after Ctrl-Z');
  });

  test('a short visit is suspended at any moment', async () => {
    const { qmpPath, gdbPath } = machine.guest;
    const codes: unknown[] = [];
    for (let afterMs = 150; afterMs < 700; afterMs += 50) {
      const visit = startPtmon('map', '--qmp', qmpPath, '--gdb', gdbPath, '--root', hex(machine.root));
      await sleep(afterMs);
      visit.child.kill('SIGTSTP');
      const hasEnded = visit.ended.then(() => 'ended');
      const isOver = async () => (await Promise.race([hasEnded, sleep(1)])) ?? stateOf(visit.child.pid!);
      await expect.poll(isOver, { timeout: 10_000 }).toMatch(/ended|T/);
      await machine.guest.workload.command(`touch ${hex(VA)} 4`, { timeoutMs: 20_000 });
      await machine.guest.workload.command(`dontneed ${hex(VA)} 4`, { timeoutMs: 20_000 });
      visit.child.kill('SIGCONT');
      codes.push(await visit.ended);
    }
    expect(new Set(codes)).toEqual(new Set([0]));
    await expectReleased('visits that were suspended');
  });

  test('Node runs out of heap', async () => {
    const { qmpPath, gdbPath } = machine.guest;
    const hog = 'setTimeout(() => { const all = []; for (;;) all.push(new Array(1e6).fill(all.length)); }, 900)';
    const script = startNode(
      '--max-old-space-size=60',
      '--import',
      `data:text/javascript,${encodeURIComponent(hog)}`,
      SCRIPT,
      ...[qmpPath, gdbPath, hex(machine.root), hex(VA)],
    );
    work();
    expect(await script.ended).toBe('SIGABRT');
    await expectReleased('out of heap');
  });

  test('a guest that another client has paused stays paused', async () => {
    const { qmpPath, gdbPath } = machine.guest;
    const other = await QmpClient.connect(qmpPath);
    await other.execute('stop');
    await other.close();
    const script = startNode(SCRIPT, qmpPath, gdbPath, hex(machine.root), hex(VA));
    await script.lines(1);
    script.child.kill('SIGKILL');
    await script.ended;
    await sleep(1500);
    const again = await connectLater();
    expect(await again.execute('query-status')).toMatchObject({ status: 'paused' });
    await again.execute('cont');
    await again.close();
    await expectReleased('after it was paused');
  });
});
