/** A breakpoint in a library that several processes have mapped: a program that is linked dynamically calls the C library. */
import { execFileSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { env } from 'node:process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LaunchedGuest, launchGuest } from '../../src/drivers/qemu/launch/launch.ts';
import { attach, type Guest, type GuestProcess } from '../../src/guest/index.ts';
import { temporaryFolder } from '../drivers/trace/temporary-folder.ts';
import { leftOut, MACHINES } from './real-guest.ts';

const file = temporaryFolder();

/** The program and all that it loads, by their paths in the guest. */
function callerWithLibraries(): Record<string, string> {
  const path = file('caller');
  execFileSync(env['CC'] ?? 'gcc', ['-O2', '-o', path, join(import.meta.dirname, 'scripts/caller.c')]);
  // "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)", and the linker by its path alone.
  const paths = execFileSync('ldd', [path], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g);
  const libraries = [...paths].map(([, library]) => [library!, realpathSync(library!)]);
  return { '/bin/caller': path, ...Object.fromEntries(libraries) };
}

describe.skipIf(leftOut('test/live/shared-library, a breakpoint in the C library')).each(MACHINES)(
  '%s',
  { timeout: 120_000 },
  (_name, options) => {
    let vm: LaunchedGuest;
    let guest: Guest;
    let callers: GuestProcess[];
    const shell = (line: string) => vm.workload.command(`sh ${line}`);
    /** Has a caller call usleep. @param how `d`: its page is taken away before each call @returns how often the guest says it has */
    const call = async (index: number, count: number, how = ' ') => {
      const reports = await shell(`echo "${count}${how}" > /run/in${index}; head -n 1 /run/out${index}`);
      const output = reports.find(({ op }) => op === 'output');
      return Number(output !== undefined && 'fields' in output ? output.fields['text'] : undefined);
    };

    beforeAll(async () => {
      vm = await launchGuest({ ...options, files: callerWithLibraries() });
      await vm.waitForReady();
      await vm.workload.ready();
      // Both then have the library at one address, and only their tables tell them apart.
      await shell('echo 0 > /proc/sys/kernel/randomize_va_space');
      for (const index of [0, 1]) {
        await shell(`mkfifo /run/in${index} /run/out${index}`);
        await shell(`sleep 1000000 > /dev/null 2> /dev/null 0<> /run/in${index} &`);
        await shell(`caller 2> /dev/null 1<> /run/out${index} < /run/in${index} &`);
        await call(index, 1);
      }
      guest = await attach({ qmp: vm.qmpPath, gdb: vm.gdbPath });
      const found = (await guest.processes()).filter(({ command }) => command === 'caller');
      callers = [];
      for (const { pid } of found) callers.push(await guest.process(pid));
    }, 150_000);
    afterAll(async () => {
      await guest?.close();
      await vm?.stop();
    });

    test('a name that two processes have is refused, with their PIDs', async () => {
      const pids = callers.map(({ pid }) => pid);
      await expect(guest.process('caller')).rejects.toMatchObject({
        code: 'bad-argument',
        message: `process "caller": several have this name; give a PID: ${pids.join(', ')}`,
      });
    });

    test('each call of its own process is a hit, and none of another that has the same page', async () => {
      const [own] = callers;
      const seen: string[] = [];
      const breakpoint = await own!.breakpoint('libc.so.6!usleep', ({ registers, process }) => {
        seen.push(`${process?.pid} ${registers.get('rdi')}`);
      });
      expect(breakpoint.state).toBe('armed');
      const frames = await Promise.all(callers.map(async (each) => await each.walk(await each.symbol('usleep'))));
      expect(frames[1]).toMatchObject({ translates: true, va: breakpoint.va, pa: (frames[0] as { pa: number }).pa });
      expect([await call(0, 3), await call(1, 5)]).toEqual([3, 5]);
      const expected = [1, 2, 3].map((microseconds) => `${own!.pid} ${microseconds}`);
      expect(seen).toEqual(expected);
      // The page goes before each call, and comes back with it.
      expect([await call(0, 3, 'd'), await call(1, 5, 'd')]).toEqual([3, 5]);
      expect(seen).toEqual([...expected, ...expected]);
      expect([breakpoint.hits, breakpoint.state]).toEqual([6, 'armed']);
      await breakpoint.remove();
      expect(await call(0, 2)).toBe(2);
      expect(breakpoint.hits).toBe(6);
    });

    test('one in each of the processes is hit by its own', async () => {
      const hooks = [];
      for (const each of callers) hooks.push(await each.breakpoint('libc.so.6!usleep', () => {}));
      await call(0, 2, 'd');
      await call(1, 4, 'd');
      expect(hooks.map(({ hits }) => hits)).toEqual([2, 4]);
      await hooks[0]!.remove();
      await call(0, 2);
      await call(1, 4);
      expect(hooks.map(({ hits }) => hits)).toEqual([2, 8]);
      await hooks[1]!.remove();
    });
  },
);
