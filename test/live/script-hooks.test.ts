/** Hooks of a script on a real guest: processes that begin and end, symbols, and several hooks at one address. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import node, { env } from 'node:process';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { MissedWrites } from '../../src/drivers/qemu/exact/comparing/missed-writes.ts';
import { QmpClient, readRunState } from '../../src/drivers/qemu/index.ts';
import { type LaunchedGuest, launchGuest } from '../../src/drivers/qemu/launch/launch.ts';
import { attach, type BreakpointHit, Guest, type GuestProcess } from '../../src/guest/index.ts';
import { LiveSource } from '../../src/guest/source/live-source.ts';
import { temporaryFolder } from '../drivers/trace/temporary-folder.ts';
import { callsOf, whatGoesWrong } from '../guest/strange-arguments.ts';
import { leftOut, MACHINES } from './real-guest.ts';

const file = temporaryFolder();

/** The workload with its symbols: compiled as it is in the guest, and not stripped. */
function unstripped(): string {
  const path = file('workload');
  const sources = join(import.meta.dirname, '../../guest/workload');
  const files = readdirSync(sources)
    .filter((name) => name.endsWith('.c'))
    .sort();
  // The flags of guest/make/programs.mjs without -s: the addresses are the same.
  const flags = ['-std=gnu11', '-O2', '-static', '-no-pie', '-pthread'];
  execFileSync(env['CC'] ?? 'gcc', [...flags, '-o', path, ...files.map((name) => join(sources, name))]);
  return path;
}

describe.skipIf(leftOut('test/live/script-hooks, hooks on a real guest')).each(MACHINES)(
  '%s',
  { timeout: 120_000 },
  (_name, options) => {
    let vm: LaunchedGuest;
    let guest: Guest;
    let process: GuestProcess;
    let next = 0x1000_0000_0000n;
    const place = () => {
      next += 0x40_0000n;
      return next;
    };
    const run = (command: string) => vm.workload.command(command, { timeoutMs: 60_000 });

    beforeAll(async () => {
      vm = await launchGuest(options);
      await vm.waitForReady();
      const { pid } = await vm.workload.ready();
      guest = await attach({ qmp: vm.qmpPath, gdb: vm.gdbPath });
      process = await guest.process(pid);
    }, 150_000);
    afterAll(async () => {
      await guest?.close();
      await vm?.stop();
    });

    test('on: each process that begins, runs another program and ends, in this order', async () => {
      const seen = new Map<number, string[]>();
      const note = (what: string) => (of: GuestProcess) => {
        seen.set(of.pid, [...(seen.get(of.pid) ?? []), `${what} ${of.comm}`]);
      };
      const hooks = await Promise.all([
        guest.on('process', note('process')),
        guest.on('exec', note('exec')),
        guest.on('exit', note('exit')),
      ]);
      for (const word of ['one', 'two', 'three']) await run(`sh echo ${word}`);
      await expect.poll(() => [...seen.values()].filter((each) => each.at(-1)?.startsWith('exit')).length).toBe(3);
      for (const life of seen.values()) expect(life).toEqual(['process workload', 'exec busybox', 'exit busybox']);
      for (const hook of hooks) await hook.remove();
      await run('sh echo four');
      expect(seen.size).toBe(3);
    });

    test.each<[what: string, call: () => Promise<unknown>, message: string]>([
      ['an event', () => guest.on('exti' as 'exit', () => {}), 'there is no event exti: only process, exec, exit'],
      ['a handler', () => guest.on('exit', undefined as never), 'the handler undefined is not a function'],
      ['a handler', () => process.breakpoint(0x400000n, 7 as never), 'the handler 7 is not a function'],
      ['a handler', () => guest.paused(7 as never), 'the handler 7 is not a function'],
      ['a handler', () => process.page(0x400000n, 7 as never), 'the handler 7 is not a function'],
      ['a time', () => guest.on('exit', () => {}, { timeoutMs: -5 }), 'timeoutMs -5: give milliseconds'],
      ['a time', () => process.breakpoint(0x400000n, () => {}, { timeoutMs: Number.NaN }), 'timeoutMs NaN: give'],
      ['an event', () => process.watch('heap', { kinds: ['unmap' as never] }), 'no events of the kind unmap'],
      ['an option', () => process.watch('heap', { kind: ['protection'] } as never), 'watch has no option kind'],
      ['an option', () => process.watch('heap', null as never), 'watch: the options are null'],
      ['an option', () => process.symbol('main', null as never), 'symbol: the options are null'],
      ['an option', () => process.breakpoint(0n, () => {}, null as never), 'breakpoint: the options are null'],
      ['an area', () => process.watch('heep'), 'has no area heep; it has'],
      ['an area', () => process.watch(0x1000n), 'has no area 0x1000; it has'],
      ['an area', () => process.search('x', 'heep'), 'has no area heep; it has'],
      ['a pattern', () => process.search(7 as never), 'the pattern 7 is neither a string nor a Uint8Array'],
      ['a range', () => process.dump('heap' as never, file('never')), 'virtual address undefined is not'],
      ['a range', () => process.search('x', null as never), 'the range null is no object'],
      ['an area', () => process.watch(''), 'the name of the area is empty'],
      ['kinds', () => process.watch('heap', { kinds: 'protection' as never }), 'kinds protection: give an array'],
      ['a symbol', () => process.symbol('init!'), '"init!" is no name of a symbol'],
      ['a symbol', () => guest.symbol(undefined as never), 'undefined is no name of a symbol'],
      [
        'a handler',
        () => process.breakpoint(0x400000n, () => {}, { onError: 7 as never }),
        'onError 7 is not a function',
      ],
      ['a text', () => process.write(0x4dd000n, 'text' as never), 'the bytes to write are no Uint8Array: text'],
      ['a length', () => process.readString(0x400000n, -4), 'byteLength -4: give an integer'],
      ['a length', () => guest.readPhysical(0, 2 ** 40), 'byteLength 1099511627776: give an integer'],
      ['an address', () => guest.readPhysical(-8, 8), 'physical address -8 is not'],
      [
        'an address',
        () => process.read('here' as never, 1),
        'virtual address here is not an unsigned 64-bit value: it is',
      ],
      ['an address', () => process.breakpoint(-1n, () => {}), 'virtual address -1 is not an unsigned 64-bit value'],
      ['an address', () => process.page(1n << 63n), '0x8000000000000000 is not canonical: no page can be there'],
      ['an address', () => process.breakpoint(1n << 63n, () => {}), '0x8000000000000000 is not canonical'],
      ['an address', () => guest.breakpoint(1n << 63n, () => {}), '0x8000000000000000 is not canonical'],
    ])('%s that can never be is refused at once: %#', async (_what, call, message) => {
      await expect(call()).rejects.toMatchObject({ code: 'bad-argument', message: expect.stringContaining(message) });
    });

    test('each call works or is refused, never a TypeError, never without an end', async () => {
      // With it the session stays open: to open one for each call would take a minute.
      const hook = await guest.on('exit', () => {});
      expect(await whatGoesWrong(callsOf(guest, process))).toEqual([]);
      await hook.remove();
    });

    test('a number is as good an address as a bigint', async () => {
      const [number, big] = [await process.read(0x400000 as never, 4), await process.read(0x400000n, 4)];
      expect(Buffer.from(number)).toEqual(Buffer.from(big));
      const dumped = await process.dump(
        { va: 0x400000 as never, byteLength: 4096 as never },
        file(`${options.cpu}.bin`),
      );
      expect(dumped).toEqual({ presentBytes: 4096, absent: [] });
      const breakpoint = await process.breakpoint(0x400000 as never, () => {});
      expect(breakpoint).toMatchObject({ va: 0x400000n, state: 'armed' });
      await breakpoint.remove();
    });

    test('on: the handler reads the new process; one that throws, and one that never returns, do not stop the guest', async () => {
      const errors: unknown[] = [];
      const onError = (error: unknown) => errors.push(error);
      const names: string[] = [];
      const reading = await guest.on('exec', async (of) => {
        const { areas } = await of.maps();
        names.push(...areas.map(({ name }) => name));
      });
      const throwing = await guest.on('process', () => Promise.reject(new Error('mine')), { onError });
      const endless = await guest.on('exit', () => new Promise(() => {}), { onError, timeoutMs: 50 });
      await run('sh echo one');
      await expect.poll(() => errors.length).toBe(2);
      for (const hook of [reading, throwing, endless]) await hook.remove();
      expect(names).toContain('/bin/busybox');
      expect(errors).toMatchObject([
        { message: 'mine' },
        { code: 'closed', message: 'the handler of exit did not finish within 50 ms: the guest goes on' },
      ]);
    });

    test('a handler whose time is up neither reads nor writes at another moment; what onError throws later is a warning', async () => {
      const va = place();
      const at = `0x${va.toString(16)}`;
      await run(`code ${at}`);
      const errors: unknown[] = [];
      const late: Promise<unknown>[] = [];
      const handler = async ({ memory, write, registers }: BreakpointHit) => {
        const stack = registers.get('rsp')!;
        const bytes = await memory.read(stack, 8);
        await new Promise((resolve) => setTimeout(resolve, 200));
        // At a stop of another handler: what the guest has there now is not what it had.
        await guest.paused(async () => {
          for (const call of [() => memory.read(stack, 8), () => write(stack, bytes)])
            late.push(call().catch((error: unknown) => error));
          await Promise.all(late);
        });
      };
      const onError: (error: unknown) => unknown = async (error) => {
        errors.push(error);
        throw new Error('mine');
      };
      const warnings: unknown[] = [];
      const note = (warning: Error) => warnings.push(warning.message);
      node.on('warning', note);
      const breakpoint = await process.breakpoint(va, handler, { timeoutMs: 50, onError });
      await run(`call ${at} 1`);
      await expect.poll(() => late.length).toBe(2);
      await breakpoint.remove();
      await expect.poll(() => warnings).toEqual(['mine']);
      node.off('warning', note);
      expect(errors).toMatchObject([{ code: 'closed', message: expect.stringContaining('within 50 ms') }]);
      for (const outcome of late)
        expect(await outcome).toMatchObject({ code: 'closed', message: expect.stringContaining('its time is up') });
      const kept = await process.page(va, async (memory) => memory);
      await expect(kept.read(va, 1)).rejects.toMatchObject({ code: 'closed' });
    });

    test('page: a function that never returns does not keep the guest stopped', async () => {
      const va = place();
      const at = `0x${va.toString(16)}`;
      await run(`map 1 small at=${at}`);
      const endless = () => new Promise<void>(() => {});
      const waiting = process.page(va, endless, { timeoutMs: 50 }).catch((error: unknown) => error);
      await run(`touch ${at} 1`);
      const expected = {
        code: 'closed',
        message: `the function of page(${at}) did not finish within 50 ms: the guest goes on`,
      };
      expect(await waiting).toMatchObject(expected);
      // The page is there already.
      await expect(process.page(va, endless, { timeoutMs: 50 })).rejects.toMatchObject(expected);
      await run(`touch ${at} 1`);
    });

    test('a loop that is left stops its watch, and the guest runs without it', async () => {
      const watch = await process.watch('heap');
      const work = run('heap 3');
      for await (const _ of watch) break;
      expect(watch.watched).toEqual([]);
      await work;
      const qmp = await QmpClient.connect(vm.qmpPath);
      expect(await readRunState(qmp)).toBe('running');
      await qmp.close();
      await run('heap back');
    });

    test('each handle gets the events of what it watches, and no others', async () => {
      const [heap, anon] = [await process.watch('heap'), await process.watch('anon')];
      // The guest runs for it.
      const other = await process.breakpoint(place(), () => {});
      const va = place();
      await run(`map 3 small at=0x${va.toString(16)}`);
      await run(`touch 0x${va.toString(16)} 3`);
      await run('heap 3');
      await run(`unmap 0x${va.toString(16)} 3`);
      await run('heap back');
      for (const handle of [heap, anon]) await handle.stop();
      await other.remove();
      const of = async (watch: typeof heap) => {
        const maps = new Set<string>();
        let mine = 0;
        for await (const { map, va: at, pid } of watch) {
          maps.add(`${pid} ${map}`);
          if (at >= va && at < va + 0x3000n) mine++;
        }
        return { maps: [...maps], mine };
      };
      expect(await of(heap)).toEqual({ maps: [`${process.pid} heap`], mine: 0 });
      // brk(2) takes the name of the heap away before its pages: they go as pages of the heap, from an area without a name.
      expect(await of(anon)).toMatchObject({ maps: expect.arrayContaining([`${process.pid} anon`]), mine: 6 });
    });

    test('breakpoint: at a symbol of the program, by a file with its symbols; of the vDSO, from the memory of the guest', async () => {
      const symbols = unstripped();
      const at: (bigint | undefined)[] = [];
      const breakpoint = await process.breakpoint('do_code', ({ registers }) => void at.push(registers.get('rdi')), {
        symbols,
      });
      expect(breakpoint.state).toBe('armed');
      const va = place();
      await run(`code 0x${va.toString(16)}`);
      await breakpoint.remove();
      expect(at).toEqual([va]);
      const time = await process.symbol('[vdso]!__vdso_time');
      const { areas } = await process.maps();
      expect(areas.find(({ start, end }) => time >= start && time < end)).toMatchObject({ name: '[vdso]' });
      await expect(process.breakpoint('no_such_symbol', () => {}, { symbols })).rejects.toMatchObject({
        code: 'bad-argument',
        message: expect.stringContaining('has no symbol no_such_symbol'),
      });
      await expect(process.breakpoint('no_such_symbol', () => {})).rejects.toMatchObject({ code: 'bad-argument' });
    });

    test('several hooks at one address of the kernel are released one by one, and the address once', async () => {
      const everywhere = [
        await guest.breakpoint('__x64_sys_getpid', () => {}),
        await guest.breakpoint('__x64_sys_getpid', () => {}),
      ];
      const own = await process.breakpoint(everywhere[0]!.va, () => {});
      expect([...everywhere, own].map(({ state }) => state)).toEqual(['armed', 'armed', 'armed']);
      const hits = () => [...everywhere, own].map((each) => each.hits);
      // getpid is called for the report of a call.
      const va = place();
      await run(`code 0x${va.toString(16)}`);
      const calls = async () => {
        const before = hits();
        await run(`call 0x${va.toString(16)} 1`);
        return hits().map((count, index) => count - before[index]!);
      };
      expect(await calls()).toEqual([1, 1, 1]);
      await everywhere[0]!.remove();
      await everywhere[0]!.remove();
      expect(await calls()).toEqual([0, 1, 1]);
      await own.remove();
      expect(await calls()).toEqual([0, 1, 0]);
      await everywhere[1]!.remove();
      expect(await calls()).toEqual([0, 0, 0]);
    });

    test('a breakpoint that is removed while its page is absent does not come with it', async () => {
      const va = place();
      const at = `0x${va.toString(16)}`;
      const [early, stays, late] = [
        await process.breakpoint(va, () => {}),
        await process.breakpoint(va, () => {}),
        await process.breakpoint(va, () => {}),
      ];
      const states = () => [early, stays, late].map(({ state }) => state);
      expect(states()).toEqual(['pending', 'pending', 'pending']);
      await early.remove();
      await run(`code ${at}`);
      expect(states()).toEqual(['removed', 'armed', 'armed']);
      await run(`call ${at} 1`);
      await run(`swapout ${at} 1`);
      expect(states()).toEqual(['removed', 'pending', 'pending']);
      await late.remove();
      await run(`call ${at} 1`);
      expect(states()).toEqual(['removed', 'armed', 'removed']);
      await stays.remove();
      await run(`swapout ${at} 1`);
      await run(`call ${at} 1`);
      expect([early, stays, late].map(({ hits }) => hits)).toEqual([0, 2, 1]);
      expect(states()).toEqual(['removed', 'removed', 'removed']);
    });

    test('a hook of one process is not hit in another that has the same page', async () => {
      const va = place();
      await run(`code 0x${va.toString(16)}`);
      const breakpoint = await process.breakpoint(va, () => {});
      // Of three rounds the last calls the function twice in a child that shares the page.
      await run(`call 0x${va.toString(16)} 3`);
      expect(breakpoint.hits).toBe(3);
      await breakpoint.remove();
    });

    test('a call is one hit, too, where the watch has gone on by samples and its page is swapped in', async () => {
      const isSampling = vi.spyOn(MissedWrites.prototype, 'isSampling', 'get').mockReturnValue(true);
      try {
        const va = place();
        const at = `0x${va.toString(16)}`;
        await run(`code ${at}`);
        const breakpoint = await process.breakpoint(va, () => {});
        // The call finds its page absent: QEMU stops the vCPU before the fetch, which faults, and once more after it.
        for (const command of [`swapout ${at} 1`, `call ${at} 1`, `call ${at} 1`]) await run(command);
        expect(breakpoint.hits).toBe(2);
        await breakpoint.remove();
      } finally {
        isSampling.mockRestore();
      }
    });

    test('with debug registers, as under KVM, breakpoints have them all, and pages are sampled', async () => {
      await guest.close();
      await using sampled = new Guest(new LiveSource({ qmp: vm.qmpPath, gdb: vm.gdbPath, isKvm: true }));
      expect(sampled.capabilities).toMatchObject({
        exact: { available: false, why: expect.stringContaining('with KVM there are four watchpoints') },
        breakpoints: { available: true },
      });
      const own = await sampled.process(process.pid);
      const [va, other] = [place(), place()];
      const at = `0x${va.toString(16)}`;
      const waiting = own.page(other, (memory) => memory.read(other, 8));
      const breakpoint = await own.breakpoint(va, () => {});
      expect(breakpoint.state).toBe('pending');
      await run(`code ${at}`);
      // Not of a page that is swapped out: TCG sets no RF for a debugger, and stops once more after the fault.
      for (let calls = 0; calls < 3; calls++) await run(`call ${at} 1`);
      expect([breakpoint.hits, breakpoint.state]).toEqual([3, 'armed']);
      for (const command of [`fork ${at} 1`, `child call ${at} 1`, `call ${at} 1`, 'child exit']) await run(command);
      expect(breakpoint.hits).toBe(4);
      await run(`map 1 small at=0x${other.toString(16)}`);
      await run(`touch 0x${other.toString(16)}`);
      expect(Buffer.from(await waiting).readBigUInt64LE()).toBe(other);
      await breakpoint.remove();
      await run(`call ${at} 1`);
      expect(breakpoint.hits).toBe(4);
    });

    test('inside paused: questions are of the same moment, what needs a running guest is refused, and close ends it', async () => {
      const [bytes, same] = await guest.paused(async (moment) => [
        await process.read(0x400000n, 4),
        await moment.memoryOf(await process.root()).read(0x400000n, 4),
      ]);
      expect(bytes).toEqual(same);
      await expect(guest.paused(() => process.watch('heap'))).rejects.toMatchObject({ code: 'bad-argument' });
      const endless = guest.paused(() => new Promise(() => {}));
      const first = endless.catch((error: unknown) => error);
      await new Promise((resolve) => setTimeout(resolve, 300));
      await guest.close();
      expect(await first).toMatchObject({ code: 'closed' });
      // While it is watched, too.
      const watch = await process.watch('heap');
      const refused: (() => Promise<unknown>)[] = [
        () => process.watch('heap'),
        () => process.page(0x400000n),
        () => guest.on('exit', () => {}),
      ];
      for (const call of refused) await expect(guest.paused(call)).rejects.toMatchObject({ code: 'bad-argument' });
      expect(await guest.paused(() => process.read(0x400000n, 4))).toEqual(bytes);
      const second = guest.paused(() => new Promise(() => {})).catch((error: unknown) => error);
      await guest.close();
      expect(await second).toMatchObject({ code: 'closed' });
      await watch.stop();
    });

    test('what is called at a stop releases the guest, and waits for that', async () => {
      const va = place();
      const at = `0x${va.toString(16)}`;
      await run(`map 1 small at=${at}`);
      const errors: unknown[] = [];
      let releases = 0;
      const release = async () => {
        await guest.close();
        releases++;
      };
      await guest.on('exec', release, { onError: (error) => errors.push(error) });
      await run('sh echo one');
      // Its time limit is ten seconds.
      await expect.poll(() => releases, { timeout: 5000 }).toBe(1);
      expect(errors).toEqual([]);
      const waiting = process.page(va, release);
      // Answered by the session that waits: the page has not come before.
      expect((await process.walk(va)).translates).toBe(false);
      await run(`touch ${at}`);
      await waiting;
      await guest.follow({ selection: { by: { pid: process.pid }, map: { kind: 'at', va } }, onEvents: release });
      await run(`dontneed ${at}`);
      await expect.poll(() => releases, { timeout: 5000 }).toBe(3);
    });

    test('what a handler removes or releases is not called any more, not even at the same stop', async () => {
      const va = place();
      const at = `0x${va.toString(16)}`;
      await run(`code ${at}`);
      const called: string[] = [];
      const note = (what: string) => () => void called.push(what);
      const later: { remove(): Promise<void> }[] = [];
      const removeLater = async () => {
        for (const each of later) await each.remove();
      };
      const breakpoint = await process.breakpoint(va, removeLater);
      later.push(await process.breakpoint(va, note('breakpoint')));
      await run(`call ${at} 1`);
      const hook = await guest.on('exec', removeLater);
      later.push(await guest.on('exec', note('exec')));
      await run('sh echo one');
      expect(breakpoint.hits).toBe(1);
      await breakpoint.remove();
      await hook.remove();
      await process.breakpoint(va, () => guest.close());
      await process.breakpoint(va, note('released'));
      await run(`call ${at} 1`);
      expect(called).toEqual([]);
    });

    test('a guest that another client has paused is read while it is watched, released, and stays paused', async () => {
      await guest.close();
      const ask = async (command?: 'stop' | 'cont') => {
        const qmp = await QmpClient.connect(vm.qmpPath);
        if (command !== undefined) await qmp.execute(command);
        const state = await readRunState(qmp);
        await qmp.close();
        return state;
      };
      expect(await ask('stop')).toBe('paused');
      const breakpoint = await process.breakpoint(place(), () => {});
      const watch = await process.watch('heap');
      const next = watch[Symbol.asyncIterator]().next();
      for (const _ of [1, 2]) expect(await process.read(0x400000n, 4)).toHaveLength(4);
      await breakpoint.remove();
      await watch.stop();
      expect(await next).toEqual({ done: true, value: undefined });
      await guest.close();
      expect(await ask()).toBe('paused');
      expect(await ask('cont')).toBe('running');
      await run('sh echo one');
    });

    test('without a gdbstub it cannot be left stopped, and its socket is free afterwards', async () => {
      await guest.close();
      await using sampled = await attach({ qmp: vm.qmpPath });
      await expect(sampled.close({ leaveStopped: true })).rejects.toMatchObject({
        code: 'bad-argument',
        message: expect.stringContaining('QEMU has no gdbstub: start it with -gdb'),
      });
      expect((await sampled.process(process.pid)).comm).toBe('workload');
    });

    test('what is not mapped is not hit, and a process that ends takes its hooks along', async () => {
      const [pending, armed] = [
        await process.breakpoint(place(), () => {}),
        await process.breakpoint('do_code', () => {}, { symbols: unstripped() }),
      ];
      expect([pending.state, armed.state]).toEqual(['pending', 'armed']);
      const ended: string[] = [];
      const hook = await guest.on('exit', (of) => void ended.push(of.toString()));
      await run('exit');
      await vm.workload.ready();
      expect([pending.state, armed.state]).toEqual(['removed', 'removed']);
      await expect.poll(() => ended).toContain(`workload[${process.pid}]`);
      await hook.remove();
      const qmp = await QmpClient.connect(vm.qmpPath);
      await expect.poll(() => readRunState(qmp), { timeout: 20_000 }).toBe('running');
      await qmp.close();
    });
  },
);
