/** Breakpoints of a process that becomes another program, makes children that share its memory, and is killed at them. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { env } from 'node:process';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type LaunchedGuest, launchGuest } from '../../src/drivers/qemu/launch/launch.ts';
import { attach, type Guest, type GuestProcess } from '../../src/guest/index.ts';
import { processKey } from '../../src/web/scene/process-sample.ts';
import { temporaryFolder } from '../drivers/trace/temporary-folder.ts';
import { leftOut, MACHINES } from './real-guest.ts';

const file = temporaryFolder();

const PROGRAM = file('changing');

function compile(): void {
  const flags = ['-O2', '-static', '-no-pie', '-pthread'];
  execFileSync(env['CC'] ?? 'gcc', [...flags, '-o', PROGRAM, join(import.meta.dirname, 'scripts/changing.c')]);
}

describe.skipIf(leftOut('test/live/script-exec, breakpoints of a process that runs another program')).each(MACHINES)(
  '%s',
  { timeout: 120_000 },
  (_name, options) => {
    let vm: LaunchedGuest;
    let guest: Guest;
    let process: GuestProcess;
    const symbols = { symbols: PROGRAM };
    const nothing = () => {};
    const shell = async (line: string) => {
      const reports = await vm.workload.command(`sh ${line}`);
      const output = reports.find(({ op }) => op === 'output');
      return Number(output !== undefined && 'fields' in output ? output.fields['text'] : undefined);
    };
    /** @returns what the program says: how often it has called the function, or its PID where it is new */
    const say = (line: string) => shell(`echo ${line} > /run/in; head -n 1 /run/out`);

    beforeAll(async () => {
      compile();
      vm = await launchGuest({ ...options, files: { '/bin/changing': PROGRAM } });
      await vm.waitForReady();
      await vm.workload.ready();
      await shell('mkfifo /run/in /run/out');
      await shell('sleep 1000000 > /dev/null 2> /dev/null 0<> /run/in &');
      guest = await attach({ qmp: vm.qmpPath, gdb: vm.gdbPath });
    }, 150_000);
    beforeEach(async () => {
      await shell('changing 2> /dev/null 1<> /run/out < /run/in &');
      process = await guest.process(await shell('head -n 1 /run/out'));
      return async () => {
        await shell(`kill -9 ${process.pid} 2> /dev/null; true`);
      };
    }, 60_000);
    afterAll(async () => {
      await guest?.close();
      await vm?.stop();
    });

    test.each([
      ['the process', 'e'],
      ['a thread that is not its first', 't'],
    ])('%s runs a program: its breakpoints are removed, and new ones are hit', async (_who, how) => {
      const old = await process.breakpoint('marker', nothing, symbols);
      expect(await say('c3')).toBe(3);
      expect([old.state, old.hits]).toEqual(['armed', 3]);
      const lives: string[] = [];
      const note = (what: string) => (of: GuestProcess) => void (of.pid === process.pid && lives.push(what));
      const hooks = [];
      for (const what of ['process', 'exec', 'exit'] as const) hooks.push(await guest.on(what, note(what)));
      const itself = async () => (await guest.processes()).find(({ pid }) => pid === process.pid)!;
      const before = await itself();
      expect(await say(how)).toBe(process.pid);
      // What `ptmon top` and `ptmon serve` know a process by.
      const after = await itself();
      expect([after.startTime, after.task === before.task]).toEqual([before.startTime, how === 'e']);
      expect(processKey(after)).toBe(processKey(before));
      for (const hook of hooks) await hook.remove();
      expect(lives).toEqual(['exec']);
      expect(await say('c2')).toBe(2);
      expect([old.state, old.hits]).toEqual(['removed', 3]);
      const other = await (await guest.process(process.pid)).breakpoint('marker', nothing, symbols);
      expect(await say('c4')).toBe(6);
      expect(other.hits).toBe(4);
      expect((await process.maps()).areas.length).toBeGreaterThan(3);
      await other.remove();
    });

    test('a child of fork has its own memory, one of vfork that of the process', async () => {
      const breakpoint = await process.breakpoint('marker', nothing, symbols);
      expect(await say('f5')).toBe(0);
      expect(breakpoint.hits).toBe(0);
      expect(await say('v5')).toBe(5);
      expect(breakpoint.hits).toBe(5);
      // The child leaves the memory to its parent.
      for (let round = 0; round < 5; round++) expect(await say('x')).toBe(5);
      expect(await say('c2')).toBe(7);
      expect([breakpoint.state, breakpoint.hits]).toEqual(['armed', 7]);
      await breakpoint.remove();
    });

    test('a process is killed while it is stepped over its breakpoint', async () => {
      for (let round = 0; round < 2; round++) {
        const breakpoint = await process.breakpoint('marker', nothing, symbols);
        await say('l');
        await expect.poll(() => breakpoint.hits, { timeout: 60_000 }).toBeGreaterThan(20);
        await shell(`kill -9 ${process.pid}`);
        await expect.poll(() => breakpoint.state, { timeout: 60_000 }).toBe('removed');
        await expect(process.maps()).rejects.toMatchObject({ message: `process ${process.toString()} has ended` });
        await shell('changing 2> /dev/null 1<> /run/out < /run/in &');
        process = await guest.process(await shell('head -n 1 /run/out'));
      }
    });

    test('20 breakpoints in a page that is swapped out and in', async () => {
      const workload = await guest.process('workload');
      const va = 0x1000_0000_0000n;
      const run = (command: string) => vm.workload.command(`${command} 0x${va.toString(16)}`);
      await run('code');
      const all = [];
      for (let at = 0n; at < 20n; at++) all.push(await workload.breakpoint(va + at, nothing));
      for (let round = 1; round < 4; round++) {
        await run('swapout');
        expect(new Set(all.map(({ state }) => state))).toEqual(new Set(['pending']));
        await run('call');
        expect(new Set(all.map(({ state }) => state))).toEqual(new Set(['armed']));
        // lea 1(%rdi),%eax; ret
        expect(all.map(({ hits }) => hits)).toEqual(all.map((_, at) => (at === 0 || at === 3 ? round : 0)));
      }
      for (const each of all) await each.remove();
      await run('call');
      expect(all[0]!.hits).toBe(3);
    });
  },
);
