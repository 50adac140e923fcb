/** A guest's memory that is not as it should be: what can be had is had, the rest is said, and everything ends. */
import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../src/core/error.ts';
import { walk } from '../../src/core/paging/walk.ts';
import { Random } from '../../src/testing/random.ts';
import { Explainer, explanationText } from '../../src/linux/explain.ts';
import { LinuxGuest, openLinux } from '../../src/linux/linux-guest.ts';
import { MadeKernel, type MadeProcess, usedFrames } from './made-kernel.ts';
import { NEW, OLD, type Vintage } from './made-types.ts';

interface Scene {
  readonly made: MadeKernel;
  readonly processes: readonly MadeProcess[];
  readonly linux: LinuxGuest;
}

async function makeScene(vintage: Vintage = NEW): Promise<Scene> {
  const made = new MadeKernel({ vintage });
  const processes = [1, 20, 21].map((pid) =>
    made.makeProcess({
      pid,
      comm: `process ${pid}`,
      threads: pid === 20 ? [22, 23] : [],
      brk: [0x10_0000n, 0x10_2000n],
      stack: 0x7fff_0000_0000n,
      areas: Array.from({ length: 7 }, (_, index) => ({
        start: 0x10_0000n * BigInt(index + 1),
        end: 0x10_0000n * BigInt(index + 1) + 0x3000n,
        ...(index % 2 === 1 && { file: made.makeFile(`/lib/part${index}`) }),
      })),
    }),
  );
  for (const { root } of processes) {
    made.mapPage(root, 0x10_0000n, 0x40_0067n);
    made.mapPage(root, 0x10_1000n, 0x7fff_ffff_ffff_fe00n);
  }
  made.makeProcess({ pid: 2, comm: 'kthreadd', isKernelThread: true });
  return { made, processes, linux: await openLinux(made.source()) };
}

const LISTS: readonly [what: string, harm: (scene: Scene) => void, pids: number[], fault: RegExp][] = [
  [
    'a list of processes that comes back to its middle',
    ({ made, processes: [, second] }) => {
      const list = second!.task + made.at('task_struct.tasks');
      made.put(list, list);
    },
    [1, 20],
    /list of processes breaks off after 2 entries: comes back to/,
  ],
  [
    'a list of processes that leads nowhere',
    ({ made, processes: [first] }) => made.put(first!.task + made.at('task_struct.tasks'), 0xdead_beef_0000n),
    [1],
    /list of processes breaks off after .* leads nowhere/,
  ],
  [
    'a process without credentials',
    ({ made, processes: [first] }) => made.put(first!.task + made.at('task_struct.real_cred'), 0n),
    [2, 20, 21],
    /the process at 0x[0-9a-f]+: kernel address 0x0 leads nowhere/,
  ],
  [
    'a process whose table is nowhere',
    ({ made, processes: [first] }) => made.put(first!.mm + made.at('mm_struct.pgd'), ~0n),
    [1, 2, 20, 21],
    /leads nowhere/,
  ],
];

describe('lists and pointers', () => {
  test.each(LISTS)('%s', async (_what, harm, pids, fault) => {
    const scene = await makeScene();
    harm(scene);
    const { processes, faults } = await scene.linux.processes();
    expect(processes.map(({ pid }) => pid)).toEqual(pids);
    expect(faults.join('\n')).toMatch(fault);
  });

  test.each([
    ['areas in a list that comes back', OLD],
    ['a tree that is below itself', NEW],
  ])('%s', async (_what, vintage) => {
    const scene = await makeScene(vintage);
    const { made, linux } = scene;
    const { mm, areas } = scene.processes[0]!;
    if (vintage === OLD) made.put(areas[3]! + made.at('vm_area_struct.vm_next'), areas[1]!);
    else {
      const root = made.get(mm + made.at('mm_struct.mm_mt') + made.at('maple_tree.ma_root')) & ~0xffn;
      made.put(root + 8n * 3n + 8n, made.get(mm + made.at('mm_struct.mm_mt') + made.at('maple_tree.ma_root')) & ~2n);
    }
    const found = await linux.map(1);
    expect(found.areas.length).toBeGreaterThan(2);
    expect(found.areas.length).toBeLessThan(7);
    expect(found.faults.join('\n')).toMatch(/comes back to|is below itself/);
  });

  test('page tables that lead to themselves: each is counted once, and the count ends', async () => {
    const { made, processes, linux } = await makeScene();
    const { root, areas } = processes[0]!;
    for (let slot = 0; slot < 256; slot++) made.memory.writeU64(root + slot * 8, root + 0x67, 0);
    made.put(areas[6]! + made.at('vm_area_struct.vm_end'), 0x7fff_ffff_f000n);
    const { areas: found, faults } = await linux.map(1);
    expect(found.length).toBe(7);
    // As the processor has it: each page of 256 of every 512 is the root.
    expect(found[6]!.resident).toBeGreaterThan(2 ** 32);
    expect(faults).toEqual([]);
  });

  test('page tables that are not in memory: what is below them is not counted, and it is said', async () => {
    const { made, processes, linux } = await makeScene();
    const { root } = processes[0]!;
    made.memory.writeU64(root, 0xfff_ffff_f067, 0);
    const { areas, faults } = await linux.map(1);
    expect(areas.length).toBe(7);
    expect(areas[0]!.resident).toBe(0);
    expect(faults).toEqual(['1 page table is missing: the pages below are not counted as resident or swapped']);
  });

  test('a process without an area, as where a dump left the structures out: said', async () => {
    const { made, processes, linux } = await makeScene();
    const { mm } = processes[0]!;
    made.put(mm + made.at('mm_struct.mm_mt') + made.at('maple_tree.ma_root'), 0n);
    made.put(mm + made.at('mm_struct.map_count'), 0n);
    const { areas, faults } = await linux.map(1);
    expect(areas).toEqual([]);
    expect(faults).toEqual([expect.stringContaining('list has no area')]);
    expect(await linux.areasOf(mm)).toMatchObject({ isWhole: false });
  });

  test('a tree that is being changed: one reading of a part is no answer', async () => {
    const { made, processes, linux } = await makeScene();
    const { mm } = processes[0]!;
    const root = made.get(mm + made.at('mm_struct.mm_mt') + made.at('maple_tree.ma_root')) & ~0xffn;
    const [first, second] = [root + 8n, root + 16n];
    const whole = [made.get(first), made.get(second)] as const;
    // As if all addresses were in the first slot: a tree in order, with fewer areas.
    const part = [made.get(first), 0n] as const;
    const put = ([one, two]: readonly [bigint, bigint]) => (made.put(first, one), made.put(second, two));
    put(part);
    const torn = await linux.map(1);
    expect(torn.areas.length).toBeLessThan(7);
    expect(torn.faults).toEqual(['the kernel counts more or fewer areas than its list has: it was being changed']);
    expect(await linux.areasOf(mm)).toMatchObject({ isWhole: false });
    // The guest completes its change while it is read.
    const run = linux.run(() => {
      const steps = linux.areas.list(mm);
      const { next } = steps;
      let count = 0;
      steps.next = (...args) => {
        if (++count === 3) put(whole);
        return next.apply(steps, args);
      };
      return steps;
    });
    expect(await run).toMatchObject({ isWhole: true, faults: [], areas: { length: 7 } });
  });

  test('an area of another process is left out', async () => {
    const { made, processes, linux } = await makeScene();
    made.put(processes[0]!.areas[2]! + made.at('vm_area_struct.vm_mm'), processes[1]!.mm);
    const { areas, faults } = await linux.map(1);
    expect(areas.length).toBe(6);
    expect(faults.join()).toMatch(/it is not of this process/);
  });
});

/** Asks everything there is to ask. */
async function askAll(linux: LinuxGuest, root: number): Promise<void> {
  const { processes } = await linux.processes();
  for (const { pid } of processes.slice(0, 5)) {
    await linux.map(pid).catch((error: unknown) => {
      // Two may have the same number, or it is gone from the list.
      if (!(error instanceof PtmonError) || error.code !== 'bad-argument') throw error;
    });
  }
  await linux.swapDevices();
  const { paging, physical } = linux.kernel.memory;
  const said = await new Explainer(linux).explain(walk(paging, physical, root, 0x10_1000n));
  if (said !== undefined) explanationText(said);
}

const ROUNDS = Number(process.env['PTMON_FUZZ_ROUNDS'] ?? 60);

describe.each([
  ['new', NEW],
  ['old', OLD],
] as const)('any memory (%s kernel)', (_name, vintage) => {
  test('that is damaged after the kernel was found', { timeout: 120_000 }, async () => {
    const { made, processes, linux } = await makeScene(vintage);
    const random = new Random(7);
    const frames = usedFrames(made).filter((gfn) => gfn * 4096 >= 0x50_0000);
    const pointers = processes.flatMap(({ task, mm, areas }) => [
      task,
      mm,
      ...areas,
      task + made.at('task_struct.tasks'),
    ]);
    for (let round = 0; round < ROUNDS; round++) {
      const undo: (() => void)[] = [];
      for (let harm = 0; harm <= round % 12; harm++) {
        const gfn = frames[random.below(frames.length)]!;
        const page = made.memory.page(gfn)!;
        const used = [...page.keys()].filter((word) => word % 2 === 0 && (page[word] !== 0 || page[word + 1] !== 0));
        const word = used[random.below(used.length)] ?? 0;
        const before = [page[word]!, page[word + 1]!] as const;
        undo.push(() => void ([page[word], page[word + 1]] = before));
        const pointer = pointers[random.below(pointers.length)]!;
        const kinds: (readonly [number, number])[] = [
          [0, 0],
          [random.below(2 ** 32), random.below(2 ** 32)],
          [Number(pointer & 0xffff_ffffn), Number(pointer >> 32n)],
          [before[0] ^ (1 << random.below(32)), before[1]],
          [0xffff_ffff, 0xffff_ffff],
        ];
        [page[word], page[word + 1]] = kinds[random.below(kinds.length)]!;
      }
      const start = performance.now();
      await askAll(linux, processes[0]!.root);
      expect(performance.now() - start).toBeLessThan(30_000);
      for (const step of undo.reverse()) step();
    }
    // What was mended is whole again.
    expect((await linux.processes()).faults).toEqual([]);
  });

  test('in which the kernel is looked for', { timeout: 120_000 }, async () => {
    const random = new Random(11);
    const { made, processes } = await makeScene(vintage);
    const frames = usedFrames(made);
    let found = 0;
    for (let round = 0; round < ROUNDS / 3; round++) {
      const undo: (() => void)[] = [];
      for (let harm = 0; harm < 40; harm++) {
        const page = made.memory.page(frames[random.below(frames.length)]!)!;
        const word = random.below(1024);
        const before = page[word]!;
        undo.push(() => void (page[word] = before));
        page[word] = random.below(2) === 0 ? 0 : random.below(2 ** 32);
      }
      try {
        await askAll(await openLinux(made.source()), processes[0]!.root);
        found++;
      } catch (error) {
        expect(error).toBeInstanceOf(PtmonError);
        expect(['source-unavailable', 'corrupt-input']).toContain((error as PtmonError).code);
      }
      for (const step of undo.reverse()) step();
    }
    expect(found).toBeGreaterThan(0);
  });
});
