/** The names of a real kernel's addresses beside its own /proc: symbols, modules, areas. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findKernels } from '../../src/drivers/qemu/launch/guest-files.ts';
import { type LaunchedGuest, launchGuest, type LaunchOptions } from '../../src/drivers/qemu/launch/launch.ts';
import { openQemuSnapshot } from '../../src/drivers/qemu/index.ts';
import { areaAt, type KernelNames, openLinux } from '../../src/linux/index.ts';
import { parse, run } from '../cli/run.ts';
import { temporaryFolder } from '../drivers/qemu/transport/peer.ts';
import { shell } from './proc-files.ts';
import { leftOut } from './real-guest.ts';

const MACHINES: readonly LaunchOptions[] = [
  { cpu: 'max' },
  { cpu: 'max,la57=off', nokaslr: true },
  { cpu: 'Skylake-Server' },
];

const GUESTS = findKernels()
  .filter(({ path, bits }) => basename(dirname(dirname(path))) === 'kernels' && bits === 64)
  .map(({ path, release }, at): [string, LaunchOptions] => [
    release,
    { ...MACHINES[at % MACHINES.length]!, kernel: path },
  ]);

const isOut = leftOut('test/live/linux-symbols, the names of a real kernel', () =>
  GUESTS.length === 0 ? 'no fetched kernel: `node guest/build.mjs` fetches one' : undefined,
);

// Vitest refuses a file without a test: without kernels one is skipped.
describe.skipIf(isOut).each(GUESTS.length === 0 ? [['…', {}] as [string, LaunchOptions]] : GUESTS)(
  'Linux %s',
  { timeout: 120_000 },
  (_release, options) => {
    let guest: LaunchedGuest;
    let names: KernelNames;
    let tasks: readonly bigint[];
    beforeAll(async () => {
      guest = await launchGuest({ ...options, append: 'no_hash_pointers' });
      await guest.waitForReady();
      await shell(guest, 'echo 0 > /proc/sys/kernel/kptr_restrict');
      const snapshot = await openQemuSnapshot({
        qmp: guest.qmpPath,
        gdb: guest.gdbPath,
        signal: new AbortController().signal,
      });
      try {
        const linux = await openLinux(snapshot);
        names = await linux.names();
        tasks = (await linux.processes()).processes.map(({ task }) => task);
      } finally {
        await snapshot.close();
      }
    }, 150_000);
    afterAll(() => guest?.stop());

    test('every symbol of the kernel as in /proc/kallsyms', async () => {
      const [sum = '', count = ''] = await shell(
        guest,
        'grep -v "\\[" /proc/kallsyms | sha256sum; grep -vc "\\[" /proc/kallsyms',
      );
      const hash = createHash('sha256');
      const symbols = names.symbols!;
      let own = 0;
      for (let index = 0; index < symbols.size; index++) {
        const { address, type, name, module } = symbols.symbol(index);
        if (module !== null) continue;
        own++;
        hash.update(`${address.toString(16).padStart(16, '0')} ${type} ${name}\n`);
      }
      expect([own, hash.digest('hex')]).toEqual([Number(count), sum.split(' ')[0]]);
      expect(own).toBeGreaterThan(50_000);
    });

    test('every symbol of a module as in /proc/kallsyms', async () => {
      const loaded = names.modules.map(({ name }) => name);
      const lines = await shell(
        guest,
        `grep -E "\\[(${loaded.join('|')})\\]$" /proc/kallsyms | tr "[:upper:]" "[:lower:]"`,
      );
      const theirs = lines.map((line) => line.trim().split(/\s+/).slice(0, 3).join(' ')).sort();
      const ours = names.modules
        .flatMap(({ symbols }) => symbols)
        .map(({ address, type, name }) => `${address.toString(16).padStart(16, '0')} ${type} ${name}`.toLowerCase());
      expect(ours.sort()).toEqual(theirs);
      expect(names.faults).toEqual([]);
    });

    test('modules and their memory as in /proc/modules and /proc/vmallocinfo', async () => {
      const lines = await shell(guest, 'cat /proc/modules');
      const theirs = lines.map((line) => line.split(' '));
      expect(names.modules.map(({ name }) => name)).toEqual(theirs.map(([name]) => name));
      for (const [name, , , , , address] of theirs) {
        expect(areaAt(names.areas, BigInt(address!))?.name).toBe(`module ${name}`);
      }
    });

    test('what the kernel has mapped by vmalloc is in its area, or in that of modules', async () => {
      const lines = await shell(guest, "cut -d' ' -f1 /proc/vmallocinfo");
      const starts = lines.map((line) => BigInt(line.split('-')[0]!));
      expect(starts.length).toBeGreaterThan(20);
      const found = new Set(starts.map((va) => areaAt(names.areas, va)?.name.replace(/ .*/, '')));
      expect(
        [...found].sort().filter((name) => !['module', 'modules', 'vmalloc', 'cpu'].includes(String(name))),
      ).toEqual([]);
      expect(found.has('vmalloc')).toBe(true);
    });

    test('tasks are in the direct map, functions in the text, variables in the data', () => {
      const nameAt = (va: bigint | undefined) => va && areaAt(names.areas, va)?.name;
      const address = (name: string) => names.symbols!.find(name)?.address;
      expect(new Set(tasks.filter((task) => task !== address('init_task')).map(nameAt))).toEqual(
        new Set(['direct map']),
      );
      expect(nameAt(address('schedule'))).toBe('kernel text');
      expect(nameAt(address('linux_banner'))).toBe('kernel rodata');
      expect(nameAt(address('init_task'))).toBe('kernel data');
    });

    test('areas are in order, and none overlaps another', () => {
      const { areas } = names;
      expect(areas.every(({ start, end }) => start < end)).toBe(true);
      expect(areas.every(({ start }, index) => index === 0 || areas[index - 1]!.end <= start)).toBe(true);
    });

    async function ask(...command: readonly string[]): Promise<Record<string, unknown>[]> {
      const sockets = ['--qmp', guest.qmpPath, '--gdb', guest.gdbPath];
      const { code, stdout, stderr } = await run([...command, '--json', ...sockets]);
      expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
      return parse(stdout);
    }

    test('translate takes symbols, and names addresses', async () => {
      const { address } = names.symbols!.find('sys_call_table')!;
      const { address: schedule } = names.symbols!.find('schedule')!;
      const inSchedule = `0x${(schedule + 5n).toString(16)}`;
      const said = await ask('translate', 'sys_call_table+0x8', inSchedule);
      expect(said).toMatchObject([
        { va: `0x${(address + 8n).toString(16)}`, symbol: { name: 'sys_call_table', offset: '0x8', module: null } },
        { va: inSchedule, symbol: { name: 'schedule', offset: '0x5' }, kernelArea: 'kernel text', translates: true },
      ]);
      for (const [word, why] of [
        ['no_such_symbol', 'no_such_symbol: neither a virtual address'],
        ['schedule+0xffffffff', 'schedule+0xffffffff: beyond the last address'],
      ] as const) {
        const { code, stderr } = await run(['translate', word, '--qmp', guest.qmpPath, '--gdb', guest.gdbPath]);
        expect([code, stderr]).toEqual([2, expect.stringContaining(why)]);
      }
    });

    test('symbols of a file take the place of those of the kernel, wherever KASLR has put it', async () => {
      const lines = await shell(guest, 'grep -E " (_text|schedule|vfs_read)$" /proc/kallsyms');
      const moved = lines.map((line) =>
        line.replace(/^[0-9a-f]+/, (digits) => (BigInt(`0x${digits}`) - 0x10_0000n).toString(16)),
      );
      const path = join(temporaryFolder(), 'System.map');
      writeFileSync(path, `${moved.join('\n')}\n`);
      const { address } = names.symbols!.find('vfs_read')!;
      const [said] = await ask('translate', 'vfs_read', '--symbols', path);
      expect(said).toMatchObject({ va: `0x${address.toString(16)}`, symbol: { name: 'vfs_read', offset: '0x0' } });
    });

    test('a file of symbols that is none, or of another kernel, is refused before anything is printed', async () => {
      const path = join(temporaryFolder(), 'System.map');
      for (const [text, why] of [
        ['no list of symbols\n', 'no symbol (ADDRESS TYPE NAME)'],
        [
          'ffffffff81000000 T _text\nffffffff81000040 D init_task\n',
          'is of another kernel: it has init_task 0x40 behind',
        ],
        [
          'ffffffff81000000 T _text\nffffffff81000040 T schedule\n',
          'is of another kernel: it has schedule 0x40 behind',
        ],
      ] as const) {
        writeFileSync(path, text);
        for (const words of [['map'], ['map', '--va', '0x400000'], ['translate', '0x400000']]) {
          const live = ['--symbols', path, '--qmp', guest.qmpPath, '--gdb', guest.gdbPath];
          const { code, stdout, stderr } = await run([...words, ...live]);
          expect({ code, stdout }).toEqual({ code: 4, stdout: '' });
          expect(stderr).toContain(`--symbols ${path}: the file of symbols`);
          expect(stderr).toContain(why);
        }
      }
    });

    test('map names the ranges of a process, and of the kernel; roots and diff take processes', async () => {
      const pid = String(guest.workload.hello?.pid);
      const ranges = (await ask('map', '--pid', pid)).filter(({ kind }) => kind === 'range');
      const named = (name: string) => ranges.find((range) => (range['names'] as string[] | undefined)?.includes(name));
      const areas = await ask('maps', pid);
      const stack = areas.find(({ name }) => name === '[stack]')!;
      const start = BigInt(named('[stack]')!['va'] as string);
      expect(start >= BigInt(stack['start'] as string) && start < BigInt(stack['end'] as string)).toBe(true);
      const program = areas.find(({ file }) => file !== null)!;
      expect(named(program['name'] as string)).toBeDefined();
      expect(named('kernel text')).toBeDefined();
      expect(named('direct map')).toBeDefined();
      const unnamed = ranges.filter(({ names: each }) => each === undefined).map(({ va }) => va);
      expect(unnamed).toEqual([]);

      const [root] = await ask('roots', '--pid', pid);
      const process = (await ask('ps')).find((each) => each['pid'] === Number(pid))!;
      expect(root).toMatchObject({ root: (process['roots'] as string[])[0], pid: Number(pid), command: 'workload' });
      const [map] = await ask('map', '--comm', 'init', '--va', '0x400000');
      expect(map!['root']).toBe(((await ask('ps')).find((each) => each['pid'] === 1)!['roots'] as string[])[0]);
    });
  },
);
