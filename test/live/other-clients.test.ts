/** Others who pause, move and debug the guest that is watched: what they want of it is what happens. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { openQemu, type RunNotice } from '../../src/drivers/qemu/exact/index.ts';
import { openQemuSnapshot } from '../../src/drivers/qemu/index.ts';
import { GdbClient } from '../../src/drivers/qemu/gdb/client.ts';
import { QmpClient } from '../../src/drivers/qemu/qmp/client.ts';
import { readRunState } from '../../src/drivers/qemu/qmp/run-state.ts';
import { differences } from './page-history.ts';
import { childrenOf, isAlive, startPtmon } from './ptmon-process.ts';
import { leftOut } from './real-guest.ts';
import { WatchedGuest, type WatchOutcome, type WatchPlan } from './watched-guest.ts';

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** Each test has a place of its own. */
let nextVa = 0x500000000000n;
function place(): bigint {
  nextVa += 0x40000000n;
  return nextVa;
}

/** Who takes the events, and so whether stops are handled in the turn in which they are read. */
const WAYS: readonly (readonly [name: string, atOnce: boolean])[] = [
  ['an iterator takes the events', false],
  ['stops are handled at once', true],
];

describe.skipIf(leftOut('test/live/other-clients, a real guest that others pause, move and debug'))(
  'a guest that others have a hand in, too',
  { timeout: 60_000 },
  () => {
    let machine: WatchedGuest;
    let other: QmpClient;
    let folder: string;
    const notices: RunNotice[] = [];
    const options = { onNotice: (notice: RunNotice) => void notices.push(notice) };

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'ptmon-test-'));
      const socket = join(folder, 'qmp');
      machine = await WatchedGuest.boot({
        cpu: 'max',
        smp: 2,
        extraArguments: ['-qmp', `unix:${socket},server=on,wait=off`],
      });
      other = await QmpClient.connect(socket);
    }, 150_000);
    afterAll(async () => {
      await other?.close();
      await machine?.stop();
      rmSync(folder, { recursive: true, force: true });
    });
    beforeEach(() => void notices.splice(0));

    const state = () => readRunState(other);
    const resume = () => other.execute('cont');

    /**
     * Pauses the guest when it runs. Where it is paused already, that may be for a moment and for us; and QEMU passes over a pause that
     * comes while it stands at a watchpoint, so it is asked for until it is there.
     */
    async function pause(): Promise<void> {
      for (const end = performance.now() + 5000; performance.now() < end; ) {
        if ((await state()) !== 'running') continue;
        await other.execute('stop');
        if ((await state()) === 'paused') return;
      }
      throw new Error('the guest could not be paused');
    }

    async function expectPausedFor(milliseconds: number): Promise<void> {
      for (const end = performance.now() + milliseconds; performance.now() < end; await sleep(5)) {
        expect(await state()).toBe('paused');
      }
    }

    /** Nothing is trapped: the workload changes what was watched, and the guest never stands still. */
    async function expectFree(at: bigint): Promise<void> {
      for (const command of [`touch ${hex(at)} 4`, `dontneed ${hex(at)} 4`]) {
        await machine.guest.workload.command(command, { timeoutMs: 20_000 });
      }
      expect(await state()).toBe('running');
    }

    async function expectExactly(plan: WatchPlan) {
      const outcome = await machine.watch({ ...plan, options });
      expect(wrong(plan, outcome)).toEqual([]);
      return outcome;
    }

    /** What others let run before it could be looked at may have done more than is seen; that must be said. */
    async function expectNoSilentLoss(plan: WatchPlan) {
      const outcome = await machine.watch({ ...plan, options });
      if (!outcome.statistics.lost.unknown) expect(wrong(plan, outcome)).toEqual([]);
      return outcome;
    }

    function wrong({ ranges }: WatchPlan, { events, reports }: WatchOutcome): string[] {
      return differences(events, reports, ranges, machine.pid);
    }

    test.each(WAYS)(
      'who pauses it finds it paused for as long as they like; then it is watched on: %s',
      async (_, atOnce) => {
        const va = place();
        await expectExactly({
          atOnce,
          ranges: [{ va, pages: 4 }],
          commands: [
            `map 4 small at=${hex(va)}`,
            `touch ${hex(va)} 4`,
            pause,
            () => expectPausedFor(300),
            resume,
            `dontneed ${hex(va)} 4`,
          ],
        });
        expect(notices).toEqual([{ kind: 'held', state: 'paused' }, { kind: 'free' }]);
        await expectFree(va);
      },
    );

    test.each(WAYS)('pauses and runs in between, at full speed: %s', async (_, atOnce) => {
      const va = place();
      await machine.guest.workload.command(`map 1 small at=${hex(va + 0x100000n)}`);
      await machine.guest.workload.command(`touch ${hex(va + 0x100000n)}`);
      let isOver = false;
      const meddle = async () => {
        for (let round = 0; !isOver; round++) {
          await pause();
          // Some at once: both words are there before we have heard of the first.
          if (round % 3 > 0) await expectPausedFor(10 * (round % 3));
          await resume();
          await sleep(round % 20);
        }
      };
      let meddling = Promise.resolve();
      const loop = `loop mix 150 pages=8 at=${hex(va)} seed=3`;
      const { events, statistics } = await expectNoSilentLoss({
        atOnce,
        ranges: [{ va, pages: 16 }],
        commands: [
          // Done when the guest runs, and so is trapped: who let it run before that would let it do all of it unseen.
          `touch ${hex(va + 0x100000n)}`,
          async () => void (meddling = meddle()),
          ...[loop, loop, loop],
          async () => {
            isOver = true;
            await meddling;
          },
        ],
      });
      console.log(`${events.length} events among ${notices.length / 2} pauses; lost some: ${statistics.lost.unknown}`);
      // Some 310 a loop where all are seen; what happens between two looks at a guest that others let run may cancel out.
      expect(events.length).toBeGreaterThan(600);
      expect(notices.filter(({ kind }) => kind === 'held').length).toBeGreaterThan(3);
      await expectFree(va);
    });

    test.each(WAYS)(
      'who paused it finds it paused when the watch ends, and without watchpoints: %s',
      async (_, atOnce) => {
        const va = place();
        await expectExactly({
          atOnce,
          ranges: [{ va, pages: 4 }],
          commands: [`map 4 small at=${hex(va)}`, `touch ${hex(va)} 4`, pause, () => expectPausedFor(50)],
        });
        await expectPausedFor(100);
        await resume();
        await expectFree(va);
      },
    );

    test('one that was paused before is watched when it runs, and paused afterwards if that never happens', async () => {
      const va = place();
      await machine.guest.workload.command(`map 4 small at=${hex(va)}`);
      await pause();
      await machine.watch({ ranges: [{ va, pages: 4 }], commands: [() => expectPausedFor(200)], options });
      await expectPausedFor(100);
      const { events } = await machine.watch({
        ranges: [{ va, pages: 4 }],
        commands: [() => expectPausedFor(100), resume, `touch ${hex(va)} 4`],
        options,
      });
      expect(events).toHaveLength(4);
      expect(notices).toEqual([{ kind: 'held', state: 'paused' }, { kind: 'held', state: 'paused' }, { kind: 'free' }]);
      await expectFree(va);
    });

    test('one that somebody lets run while we have it stopped is stopped again, and looked at', async () => {
      const va = place();
      const driver = await openQemu({ qmp: machine.guest.qmpPath, gdb: machine.guest.gdbPath });
      expect(await state()).toBe('paused');
      await resume();
      await expect.poll(state).toBe('running');
      // What needs it to stand still has it stand still.
      await driver.refreshRegisters();
      expect(await state()).toBe('paused');
      await resume();
      await expect.poll(state).toBe('running');
      const end = new AbortController();
      const first = driver.run(end.signal).next();
      await sleep(100);
      // Whoever let it run may stop it again.
      await pause();
      expect((await first).value).toEqual([{ kind: 'missed', reason: 'another client resumed the guest', lost: null }]);
      await expectPausedFor(50);
      end.abort();
      await driver.close();
      await expectPausedFor(50);
      await resume();
      await machine.guest.workload.command(`map 4 small at=${hex(va)}`);
      await expectFree(va);
    });

    test.each([0, 2, 5, 10, 40])('two signals %i ms apart end ptmon, and leave it paused', async (apartMs) => {
      const va = place();
      await machine.guest.workload.command(`map 4 small at=${hex(va)}`);
      const { qmpPath, gdbPath } = machine.guest;
      const where = ['--root', hex(machine.root), '--va', `${hex(va)}+16K`];
      const watch = startPtmon('watch', '--qmp', qmpPath, '--gdb', gdbPath, ...where);
      await expect.poll(() => watch.stderr, { timeout: 20_000 }).toMatch(/Exact:/);
      await expect.poll(state).toBe('running');
      await pause();
      await expect.poll(() => watch.stderr, { timeout: 20_000 }).toMatch(/Paused by another QEMU client \(paused\)/);
      const [guardian] = childrenOf(watch.child.pid!);
      watch.child.kill('SIGINT');
      await sleep(apartMs);
      watch.child.kill('SIGTERM');
      // The second may come when all is done.
      expect([130, 143, 'SIGTERM']).toContain(await watch.ended);
      await expectPausedFor(50);
      await resume();
      // On a busy host the guardian comes later than that, and stops the guest for a moment.
      await expect.poll(() => isAlive(guardian!), { timeout: 20_000 }).toBe(false);
      await expectFree(va);
    });

    test('whoever gives up while connecting leaves it running', async () => {
      const { qmpPath: qmp, gdbPath: gdb } = machine.guest;
      const outcomes = new Set<string>();
      for (let afterMs = 0; afterMs < 60; afterMs += 2) {
        const opened = openQemu({ qmp, gdb, signal: AbortSignal.timeout(afterMs) });
        const driver = await opened.catch((error: Error) => error.name);
        outcomes.add(typeof driver === 'string' ? driver : 'opened');
        if (typeof driver !== 'string') await driver.close();
        expect(await state(), `after ${afterMs} ms`).toBe('running');
      }
      expect(outcomes).toContain('TimeoutError');
      const va = place();
      await machine.guest.workload.command(`map 4 small at=${hex(va)}`);
      await expectFree(va);
    });

    test('a debugger: we are told so at once, and it is left alone', async () => {
      const debuggerClient = await GdbClient.connect(machine.guest.gdbPath);
      const before = performance.now();
      await expect(openQemu({ qmp: machine.guest.qmpPath, gdb: machine.guest.gdbPath })).rejects.toMatchObject({
        code: 'source-unavailable',
        message: expect.stringMatching(/another debugger is connected to the gdbstub/) as string,
      });
      expect(performance.now() - before).toBeLessThan(2000);
      await debuggerClient.detach();
      const va = place();
      await machine.guest.workload.command(`map 4 small at=${hex(va)}`);
      await expectFree(va);
    });

    describe('a QEMU that does not answer while it is let go', () => {
      afterEach(() => void process.kill(machine.guest.pid, 'SIGCONT'));

      test('lets the guest run when it answers again', async () => {
        const va = place();
        await machine.guest.workload.command(`map 4 small at=${hex(va)}`);
        const { qmpPath: qmp, gdbPath: gdb } = machine.guest;
        const driver = await openQemu({ qmp, gdb, timeoutMs: 500 });
        await driver.traps.setEntries(Float64Array.of(Number(machine.root & 0xf_ffff_ffff_f000n)), 8);
        process.kill(machine.guest.pid, 'SIGSTOP');
        await driver.close();
        process.kill(machine.guest.pid, 'SIGCONT');
        await expectFree(va);
      });
    });

    describe('a guest that is moved while we have it stopped', () => {
      async function migrateAway(): Promise<void> {
        await other.execute('migrate-set-parameters', { 'max-bandwidth': 2 ** 32 });
        await other.execute('migrate', { uri: 'exec:cat > /dev/null' });
        const status = async () => ((await other.execute('query-migrate')) as { status?: string }).status;
        await expect.poll(status, { timeout: 40_000 }).toBe('completed');
        // QEMU's migration thread reports completion before its main loop sets the run state.
        await expect.poll(state).toBe('postmigrate');
      }

      async function expectMovedFor(milliseconds: number): Promise<void> {
        for (const end = performance.now() + milliseconds; performance.now() < end; await sleep(5)) {
          expect(await state()).toBe('postmigrate');
        }
      }

      /** As if the other host had failed. */
      async function comeBack(va: bigint): Promise<void> {
        await resume();
        await machine.guest.workload.command(`map 4 small at=${hex(va)}`);
        await expectFree(va);
      }

      test('is not started again by the driver, nor by closing it', async () => {
        const { qmpPath: qmp, gdbPath: gdb } = machine.guest;
        const driver = await openQemu({ qmp, gdb, ...options });
        onTestFinished(() => driver.close());
        await migrateAway();
        const end = new AbortController();
        const next = driver.run(end.signal).next();
        await expectMovedFor(300);
        expect(notices.at(-1)).toEqual({ kind: 'held', state: 'postmigrate' });
        end.abort();
        await next;
        await driver.close();
        await expectMovedFor(300);
        await comeBack(place());
      });

      test('is not started again by a snapshot that ends', async () => {
        const { qmpPath: qmp, gdbPath: gdb } = machine.guest;
        const snapshot = await openQemuSnapshot({ qmp, gdb });
        onTestFinished(() => snapshot.close());
        await migrateAway();
        await snapshot.close();
        await expectMovedFor(300);
        await comeBack(place());
      });

      test.each(['SIGCONT', 'SIGKILL'] as const)(
        'is not started again by a command that was stopped and gets %s',
        async (signal) => {
          const va = place();
          await machine.guest.workload.command(`map 4 small at=${hex(va)}`);
          const { qmpPath, gdbPath } = machine.guest;
          const where = ['--root', hex(machine.root), '--va', `${hex(va)}+16K`];
          const watch = startPtmon('watch', '--qmp', qmpPath, '--gdb', gdbPath, ...where);
          await expect.poll(() => watch.stderr, { timeout: 20_000 }).toMatch(/Exact:/);
          await expect.poll(state).toBe('running');
          watch.child.kill('SIGSTOP');
          const touched = machine.guest.workload.command(`touch ${hex(va)} 4`, { timeoutMs: 60_000 });
          touched.catch(() => {});
          await expect.poll(state).toBe('debug');
          await migrateAway();
          watch.child.kill(signal);
          await expectMovedFor(1500);
          watch.child.kill('SIGINT');
          await watch.ended;
          await expectMovedFor(300);
          await resume();
          await touched;
          await expectFree(va);
        },
      );
    });

    // The last one: a guest that has moved is not here any more.
    test('who moves it to another host finds it moved', async () => {
      const va = place();
      await machine.guest.workload.command(`map 1 small at=${hex(va + 0x100000n)}`);
      await machine.guest.workload.command(`touch ${hex(va + 0x100000n)}`);
      const status = async () => ((await other.execute('query-migrate')) as { status?: string }).status;
      await other.execute('migrate-set-parameters', { 'max-bandwidth': 2 ** 32 });
      await machine.watch({
        ranges: [{ va, pages: 16 }],
        commands: [
          async () => {
            // Nobody waits for this one: the guest may be gone before it is done.
            void machine.guest.workload.command(`loop fault 4000 pages=8 at=${hex(va)}`).catch(() => {});
            await sleep(200);
            await other.execute('migrate', { uri: 'exec:cat > /dev/null' });
            await expect.poll(status, { timeout: 40_000 }).toBe('completed');
            expect(await state()).toBe('postmigrate');
            await sleep(200);
            expect(await state()).toBe('postmigrate');
          },
        ],
        options,
      });
      expect(await state()).toBe('postmigrate');
      expect(notices.map(({ kind }) => kind)).toEqual(['migrating', 'held']);
    });
  },
);
