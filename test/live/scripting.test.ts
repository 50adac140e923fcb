/** What a script does with a live guest: reads and writes processes, waits for pages, breaks at instructions. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { env } from 'node:process';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { findQemu } from '../../src/drivers/qemu/launch/find-qemu.ts';
import { type LaunchedGuest, launchGuest, type LaunchOptions } from '../../src/drivers/qemu/launch/launch.ts';
import { attach, type BreakpointHit, type Guest, type GuestProcess, listVms } from '../../src/guest/index.ts';
import { QmpClient, readRunState } from '../../src/drivers/qemu/index.ts';
import { temporaryFolder } from '../drivers/trace/temporary-folder.ts';
import { leftOut } from './real-guest.ts';

const file = temporaryFolder();

/** PTMON_ROUNDS=1000 runs as many for the figures of docs/decisions/0013-scripting.md. */
const roundsOr = (standard: number) => Number(env['PTMON_ROUNDS'] ?? standard);
const MACHINES: readonly (readonly [name: string, options: LaunchOptions, rounds: number])[] = [
  ['one vCPU', { cpu: 'max,la57=off' }, roundsOr(40)],
  ['page-table isolation, two vCPUs', { cpu: 'Skylake-Server', smp: 2 }, roundsOr(25)],
];
const FIRST_VA = 0x1000_0000_0000n;

describe.skipIf(leftOut('test/live/scripting, scripts on a real guest')).each(MACHINES)(
  '%s',
  { timeout: 1_000_000 },
  (_name, options, rounds) => {
    let vm: LaunchedGuest;
    let guest: Guest;
    let process: GuestProcess;
    let next = FIRST_VA;
    /** A place of its own, two MiB from the others. */
    const place = () => {
      next += 0x40_0000n;
      return next;
    };
    const run = (command: string) => vm.workload.command(command, { timeoutMs: 900_000 });

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

    test('the VM is found, with its sockets and what it can do', () => {
      const found = listVms().find(({ qmp }) => qmp === `unix:${vm.qmpPath}`);
      expect(found).toMatchObject({
        name: 'ptmon-guest',
        gdb: `unix:${vm.gdbPath}`,
        accelerator: 'tcg',
        sharesMemory: true,
        modes: ['exact', 'sampled'],
        missing: [],
      });
    });

    test('a page of the heap is read at the moment at which it appears', async () => {
      const watch = await process.watch('heap');
      const work = run('heap 6');
      const seen: string[] = [];
      for await (const event of watch) {
        expect(event).toMatchObject({ kind: 'page-in', pid: process.pid, comm: 'workload', map: 'heap' });
        // The kernel has cleared it, and nothing is written to it yet.
        expect(Buffer.from(await process.read(event.va, 64)).every((byte) => byte === 0)).toBe(true);
        if (seen.push(event.va.toString(16)) === 4) break;
      }
      await watch.stop();
      await work;
      expect(new Set(seen).size).toBe(4);
      await run('heap back');
    });

    test('what comes before the reader begins is not lost', async () => {
      const watch = await process.watch('heap');
      const other = await process.breakpoint(place(), () => {});
      await run('heap 5');
      const read: bigint[] = [];
      for await (const { kind, va } of watch) {
        if (kind === 'page-in') read.push(va);
        if (read.length >= 5) break;
      }
      await watch.stop();
      await other.remove();
      expect(read).toHaveLength(5);
      await run('heap back');
    });

    test('page() waits until an address is backed, and reads it then', async () => {
      const va = place();
      const waiting = process.page(va, (memory) => memory.read(va, 16));
      // Answered by the session that waits, which lets the guest run only once it does.
      expect((await process.walk(va)).translates).toBe(false);
      await run(`map 2 small at=0x${va.toString(16)}`);
      const [bytes] = await Promise.all([waiting, run(`touch 0x${va.toString(16)}`)]);
      expect(Buffer.from(bytes)).toEqual(Buffer.alloc(16));
      // It is there now: nothing to wait for.
      const later = await process.page(va, (memory) => memory.read(va, 8));
      expect(Buffer.from(later).readBigUInt64LE()).toBe(va);
    });

    test('what is written is what the process then has; what is absent is refused whole', async () => {
      const va = place();
      await run(`map 2 small at=0x${va.toString(16)}`);
      await run(`touch 0x${va.toString(16)}`);
      await process.write(va + 100n, Buffer.from('from outside\0'));
      expect(await process.readString(va + 100n)).toBe('from outside');
      // Also where the same stop has read it before.
      const held = await guest.on('exit', () => {});
      for (const text of ['one', 'two', 'three']) {
        await process.write(va + 200n, Buffer.from(`${text}\0`));
        expect(await process.readString(va + 200n)).toBe(text);
      }
      await held.remove();
      expect(await process.search('from outside', { va, byteLength: 0x1000n })).toEqual([va + 100n]);
      await expect(process.write(va + 0xff0n, Buffer.alloc(32, 1))).rejects.toMatchObject({
        code: 'read-failed',
        facts: { va: va + 0x1000n },
      });
      expect(Buffer.from(await process.read(va + 0xff0n, 16))).toEqual(Buffer.alloc(16));
    });

    test('an address space and physical memory are read, searched and written like a process', async () => {
      const va = place();
      await run(`map 1 small at=0x${va.toString(16)}`);
      await run(`touch 0x${va.toString(16)}`);
      const [space, physical] = [guest.memory(await process.root()), guest.physicalMemory];
      const found = await process.walk(va);
      const pa = BigInt(found.translates ? found.pa : -1);
      await space.write(va + 64n, Buffer.from('by its root\0'));
      expect(await process.readString(va + 64n)).toBe('by its root');
      expect(await physical.search('by its root', { va: pa, byteLength: 4096n })).toEqual([pa + 64n]);
      await physical.write(pa + 64n, Buffer.from('by its frame\0'));
      expect(await process.readString(va + 64n)).toBe('by its frame');
      // All of RAM, also while something watches.
      const held = await guest.on('exit', () => {});
      expect(await physical.search('by its frame')).toContain(pa + 64n);
      await held.remove();
      await expect(physical.write(0xfee0_0000n, new Uint8Array(8))).rejects.toMatchObject({ code: 'read-failed' });
    });

    /** The guest's own counts of calls by the process itself, and by its children. */
    const countCalls = (reports: Awaited<ReturnType<typeof run>>) => {
      const count = { own: 0, foreign: 0, swapped: 0 };
      for (const report of reports) {
        if (!('fields' in report) || report.op !== 'call') continue;
        const { own, foreign, swapped, pid } = report.fields;
        count.foreign += Number(foreign);
        count.swapped += Number(swapped);
        if (Number(pid) === process.pid) count.own += Number(own);
        else count.foreign += Number(own);
      }
      return count;
    };

    const timeout = Math.max(1_000_000, rounds * 10_000);
    test(`${rounds} rounds of swap-out, swap-in, fork and exec: a hit for each call, none of a child`, {
      timeout,
    }, async () => {
      const va = place();
      const at = `0x${va.toString(16)}`;
      const seen = new Set<unknown>();
      const breakpoint = await process.breakpoint(va, ({ registers, process: of }) => {
        seen.add(`${registers.get('rdi')} ${of?.pid}`);
      });
      expect(breakpoint.state).toBe('pending');
      await run(`code ${at}`);
      expect(breakpoint.state).toBe('armed');
      // Of four calls, one comes after a swap-out, one after a child that calls twice, one after a child that became another program.
      const round = [`call ${at} 4`];
      // The same by a child and by its parent at once, of a page that fork finds swapped out.
      const shared = [`swapout ${at} 1`, `fork ${at} 1`, `child call ${at} 4`, `call ${at} 4`, 'child exit'];
      const total = { own: 0, foreign: 0, swapped: 0 };
      for (let done = 0; done < rounds; done++) {
        for (const command of done % 4 === 3 ? shared : round) {
          const count = countCalls(await run(command));
          for (const key of ['own', 'foreign', 'swapped'] as const) total[key] += count[key];
        }
        expect({ round: done, hits: breakpoint.hits }).toEqual({ round: done, hits: total.own });
      }
      const sharedRounds = Math.floor(rounds / 4);
      expect(total).toMatchObject({ own: 4 * rounds, foreign: 2 * rounds + 6 * sharedRounds });
      expect(total.swapped).toBeGreaterThanOrEqual(rounds - sharedRounds);
      expect([...seen]).toEqual([`41 ${process.pid}`]);
      await breakpoint.remove();
      expect(countCalls(await run(`call ${at} 4`))).toMatchObject({ own: 4 });
      expect([breakpoint.hits, breakpoint.state]).toEqual([4 * rounds, 'removed']);
    });

    test('two handlers at one address are both called; removing one leaves the other', async () => {
      const va = place();
      await run(`code 0x${va.toString(16)}`);
      const [first, second] = [await process.breakpoint(va, () => {}), await process.breakpoint(va, () => {})];
      await run(`call 0x${va.toString(16)} 1`);
      await first.remove();
      await run(`call 0x${va.toString(16)} 1`);
      await second.remove();
      await run(`call 0x${va.toString(16)} 1`);
      expect([first.hits, second.hits]).toEqual([1, 2]);
    });

    test('a handler that throws, and one that never returns: the guest goes on and the error surfaces', async () => {
      const va = place();
      await run(`code 0x${va.toString(16)}`);
      const errors: unknown[] = [];
      const onError = (error: unknown) => errors.push(error);
      const throwing = await process.breakpoint(va, () => Promise.reject(new Error('mine')), { onError });
      const endless = await process.breakpoint(va, () => new Promise(() => {}), { onError, timeoutMs: 50 });
      await run(`call 0x${va.toString(16)} 1`);
      await throwing.remove();
      await endless.remove();
      expect(errors).toMatchObject([{ message: 'mine' }, { code: 'closed' }]);
    });

    test('a handler reads and writes the stack of the thread that it is called for', async () => {
      const va = place();
      await run(`code 0x${va.toString(16)}`);
      const returnAddresses: bigint[] = [];
      const handler = async ({ registers, memory, write }: BreakpointHit) => {
        const stack = registers.get('rsp')!;
        const bytes = Buffer.from(await memory.read(stack, 8));
        returnAddresses.push(bytes.readBigUInt64LE());
        await write(stack, Buffer.alloc(8, 7));
        expect(Buffer.from(await memory.read(stack, 8))).toEqual(Buffer.alloc(8, 7));
        await write(stack, bytes);
      };
      const errors: unknown[] = [];
      const breakpoint = await process.breakpoint(va, handler, { onError: (error) => errors.push(error) });
      await run(`call 0x${va.toString(16)} 1`);
      await breakpoint.remove();
      expect(errors).toEqual([]);
      const { areas } = await process.maps();
      const code = areas.find(({ start, end }) => returnAddresses[0]! >= start && returnAddresses[0]! < end);
      expect(code).toMatchObject({ name: '/init', rights: { executable: true } });
    });

    test('when nothing is watched any more, the guest runs without us', async () => {
      const state = async () => {
        const qmp = await QmpClient.connect(vm.qmpPath);
        try {
          return await readRunState(qmp);
        } finally {
          await qmp.close();
        }
      };
      await expect.poll(state, { timeout: 20_000 }).toBe('running');
      // The stub is free: another client can have it.
      const other = await attach({ qmp: vm.qmpPath, gdb: vm.gdbPath });
      expect((await other.process(process.pid)).comm).toBe('workload');
      await other.close();
    });

    test('what has ended is reported as ended, also where it ends meanwhile', async () => {
      const breakpoint = await process.breakpoint(place(), () => {});
      const waiting = process.page(place()).catch((error: unknown) => error);
      const watch = await process.watch();
      await run('exit');
      await vm.workload.ready();
      expect(await waiting).toMatchObject({ code: 'source-unavailable', message: expect.stringMatching(/has ended/) });
      const kinds: string[] = [];
      for await (const { kind } of watch) kinds.push(kind);
      expect(kinds.at(-1)).toBe('root-gone');
      expect(breakpoint.state).toBe('removed');
      await expect(process.read(0x1000n, 1)).rejects.toMatchObject({
        message: `process workload[${process.pid}] has ended`,
      });
      await expect(process.watch('heap')).rejects.toMatchObject({ code: 'source-unavailable' });
    });
  },
);

test.skipIf(leftOut('test/live/scripting, names of VMs')).each(['../x', '-web', 'a"\n}, b', 'n'.repeat(300)])(
  'a VM named %j is attached to by its name',
  async (name) => {
    const qmp = file(`${encodeURIComponent(name).slice(0, 20)}.qmp`);
    const about = ['-machine', 'none', '-S', '-display', 'none', '-nodefaults', '-name', name.replaceAll(',', ',,')];
    const vm = spawn(findQemu(), [...about, '-qmp', `unix:${qmp},server=on,wait=off`], { stdio: 'ignore' });
    onTestFinished(() => void vm.kill('SIGKILL'));
    await expect.poll(() => existsSync(qmp), { timeout: 20_000 }).toBe(true);
    await using guest = await attach(name);
    expect(guest.name).toBe(name);
  },
);
