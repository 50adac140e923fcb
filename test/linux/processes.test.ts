import { describe, expect, test } from 'vitest';
import { openLinux } from '../../src/linux/linux-guest.ts';
import { MadeKernel } from './made-kernel.ts';
import { NEW, OLD, type Vintage } from './made-types.ts';

const VM = { read: 1n, write: 2n, exec: 4n, shared: 0x80n };

/** Every way in which kernels have kept this, alone and together. */
const VINTAGES: readonly (readonly [name: string, vintage: Vintage])[] = [
  ['as kernels are', NEW],
  ['as kernels were', OLD],
  ['areas in a list (before 6.1)', { ...NEW, areas: 'list' }],
  ['threads in the tasks alone', { ...NEW, threads: 'group' }],
  ['state (before 5.14)', { ...NEW, state: 'state' }],
  ['without names of anonymous memory', { ...NEW, without: ['vm_area_struct.anon_name'] }],
];

describe.each(VINTAGES)('%s', (_name, vintage) => {
  test('processes, their threads and roots', async () => {
    const made = new MadeKernel({ vintage, slide: 0x600_0000n });
    const init = made.makeProcess({ pid: 1, comm: 'init', areas: [] });
    made.makeProcess({ pid: 2, comm: 'kthreadd', isKernelThread: true });
    const server = made.makeProcess({ pid: 40, comm: 'a server', parent: init.task, threads: [41, 42], areas: [] });
    const { processes, faults } = await (await openLinux(made.source())).processes();
    expect(faults).toEqual([]);
    expect(processes).toMatchObject([
      {
        pid: 1,
        parent: 0,
        command: 'init',
        uid: 1000,
        euid: 1001,
        state: 'S',
        isKernelThread: false,
        roots: [init.root],
      },
      { pid: 2, parent: 0, command: 'kthreadd', isKernelThread: true, roots: [], mm: null },
      { pid: 40, parent: 1, command: 'a server', roots: [server.root], mm: server.mm },
    ]);
    expect(processes.map(({ threads }) => threads.map(({ tid }) => tid))).toEqual([[1], [2], [40, 41, 42]]);
  });

  test('areas, their names, and what of them is in memory', async () => {
    const made = new MadeKernel({ vintage });
    const program = made.makeFile('/usr/bin/server');
    const { root } = made.makeProcess({
      pid: 9,
      comm: 'server',
      brk: [0x60_0000n, 0x61_8000n],
      stack: 0x7fff_ff00_0000n,
      areas: [
        { start: 0x40_0000n, end: 0x40_4000n, flags: VM.read | VM.exec, file: program, offset: 0x1000n },
        {
          start: 0x50_0000n,
          end: 0x50_8000n,
          flags: VM.read | VM.shared,
          file: made.makeFile('/tmp/x', { isDeleted: true }),
        },
        { start: 0x60_0000n, end: 0x62_0000n },
        { start: 0x7f00_0000_0000n, end: 0x7f00_0000_3000n, flags: 0n },
        { start: 0x7f00_0000_3000n, end: 0x7f00_0000_4000n },
        { start: 0x7fff_fe00_0000n, end: 0x7fff_ff80_0000n },
      ],
    });
    made.mapPage(root, 0x40_1000n, 0x12_3025n);
    // A page of zeroes, a page that is swapped out, one that is closed, one on its way, and nothing.
    made.mapPage(root, 0x60_0000n, 0x12_4225n);
    made.mapPage(root, 0x60_1000n, (2n << 59n) | ((~77n << 9n) & 0x7ff_ffff_ffff_fe00n));
    made.mapPage(root, 0x60_2000n, 0x12_5867n);
    made.mapPage(root, 0x7f00_0000_0000n, (~0x12_6000n & 0xf_ffff_ffff_f000n) | 0x120n);
    made.mapPage(root, 0x7f00_0000_3000n, (29n << 59n) | ((~0x127n << 9n) & 0x7ff_ffff_ffff_fe00n));
    const { areas, faults } = await (await openLinux(made.source())).map(9);
    expect(faults).toEqual([]);
    expect(areas.map(({ start, name, resident, swapped }) => [start, name, resident, swapped])).toEqual([
      [0x40_0000n, '/usr/bin/server', 1, 0],
      [0x50_0000n, '/tmp/x (deleted)', 0, 0],
      [0x60_0000n, '[heap]', 1, 1],
      [0x7f00_0000_0000n, '', 1, 0],
      [0x7f00_0000_3000n, '', 1, 0],
      [0x7fff_fe00_0000n, '[stack]', 0, 0],
    ]);
    expect(areas[0]).toMatchObject({
      end: 0x40_4000n,
      rights: { readable: true, writable: false, executable: true, shared: false },
      fileOffset: 0x1000n,
      file: { major: 8, minor: 1, inode: 42n },
    });
  });
});

test('many areas: a tree of several levels', async () => {
  const made = new MadeKernel();
  const areas = Array.from({ length: 40 }, (_, index) => ({
    start: BigInt(index) * 0x10_000n + 0x1000n,
    end: BigInt(index) * 0x10_000n + 0x4000n,
  }));
  made.makeProcess({ pid: 3, comm: 'many', areas });
  const found = await (await openLinux(made.source())).map(3);
  expect(found.areas.map(({ start, end }) => ({ start, end }))).toEqual(areas);
});

test('two roots under page-table isolation', async () => {
  const made = new MadeKernel({ isolated: true });
  const { root } = made.makeProcess({ pid: 3, comm: 'isolated', areas: [] });
  made.mapPage(root, 0x40_0000n, 0x12_3067n);
  const { processes } = await (await openLinux(made.source())).processes();
  expect(processes[0]?.roots).toEqual([root, root + 4096]);
});

test('the memory of a process whose first thread has ended is that of the others', async () => {
  const made = new MadeKernel();
  const { task, mm, root } = made.makeProcess({ pid: 5, comm: 'left', threads: [6], areas: [] });
  made.put(task + made.at('task_struct.mm'), 0n);
  made.put(task + made.at('task_struct.exit_state'), 0x20n);
  const { processes } = await (await openLinux(made.source())).processes();
  expect(processes[0]).toMatchObject({ pid: 5, state: 'Z', mm, roots: [root] });
});
