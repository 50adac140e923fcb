/** Roots that were made, among pages that are none, and how sure the search is of each. */
import { describe, expect, test } from 'vitest';
import { type PhysicalMemory, READ_NO_MEMORY } from '../../src/core/memory/physical-memory.ts';
import type { PagingModeName } from '../../src/core/paging/modes.ts';
import type { Progress } from '../../src/driver/pacer.ts';
import type { Snapshot } from '../../src/driver/snapshot.ts';
import { findAddressSpace, findRoots } from '../../src/snapshot/index.ts';
import { hex, MODES } from '../core/paging/machine.ts';
import { Random } from '../oracle/random.ts';
import { PRESENT, SpaceBuilder, USER, WRITABLE } from './space.ts';

const KERNEL: Readonly<Record<PagingModeName, bigint>> = {
  '5-level': 0xff11_0000_0000_0000n,
  '4-level': 0xffff_8880_0000_0000n,
  pae: 0xc000_0000n,
  '32-bit': 0xc000_0000n,
};

/** A kernel that maps all of its memory, and its processes' roots beside it. */
function guest(mode: PagingModeName, processes = 3): { readonly kernel: SpaceBuilder; readonly roots: number[] } {
  const kernel = new SpaceBuilder(mode);
  const { machine } = kernel;
  const slots = machine.paging.levels[0]!.slots;
  const roots = [kernel.root, ...Array.from({ length: processes }, () => kernel.newTable())];
  const mapAll = () => kernel.map(KERNEL[mode], 320, 0n, PRESENT | WRITABLE);
  mapAll();
  for (const [at, root] of roots.entries()) {
    for (let slot = slots / 2; slot < slots; slot++) {
      const offset = BigInt(slot * machine.entryBytes);
      machine.put(root + offset, machine.read(kernel.root + offset, machine.entryBytes)!);
    }
    // Something of its own in the lower half.
    if (at > 0) machine.put(root, kernel.newTable() | (mode === 'pae' ? PRESENT : PRESENT | WRITABLE | USER));
  }
  return { kernel, roots: roots.map(Number) };
}

/** Pages of what memory is full of. */
function addOther(kernel: SpaceBuilder, seed: number): void {
  const random = new Random(seed);
  for (let page = 0; page < 64; page++) {
    const at = 0x1000n * BigInt(page + 16);
    kernel.machine.memory.addPage(page + 16);
    for (let word = 0; word < 1024; word++) {
      const value = [0, random.bits(), 0x20202020, 0xffff8880, random.below(2 ** 21)][page % 5]!;
      kernel.machine.memory.writeU32(Number(at) + word * 4, value);
    }
  }
}

describe('findRoots', () => {
  test("finds PAE roots in whose entries QEMU's TCG has set the accessed bit, and none with a right there", async () => {
    const { kernel, roots } = guest('pae');
    const change = (root: number, bit: bigint) => {
      for (let slot = 0; slot < 4; slot++) {
        const at = BigInt(root + slot * 8);
        const entry = kernel.machine.read(at, 8)!;
        if (entry !== 0n) kernel.machine.put(at, entry | bit);
      }
    };
    change(roots[1]!, 0x20n);
    change(roots[2]!, WRITABLE);
    const found = await findRoots(kernel.snapshot());
    expect(
      found
        .filter(({ mode }) => mode === 'pae')
        .map(({ root }) => root)
        .sort(),
    ).toEqual([roots[0], roots[1], roots[3]].sort());
  });

  test.each(MODES)('finds the roots of %s paging, the kernel first, and is sure of them', async (mode) => {
    const { kernel, roots } = guest(mode);
    addOther(kernel, 1);
    const found = await findRoots(kernel.snapshot());
    const sure = found.filter(({ confidence }) => confidence === 'sure');
    expect(sure.map(({ root }) => root).sort()).toEqual([...roots].sort());
    expect(sure.map((each) => [each.mode, each.sharing])).toEqual(roots.map(() => [mode, roots.length]));
    expect(sure.map(({ userEntries }) => userEntries)).toEqual([0, 1, 1, 1]);
    expect(found.slice(0, sure.length)).toEqual(sure);
  });

  test.each(MODES)(
    'a root of %s paging of which a file has lost a table at its end is found, where it says so',
    async (mode) => {
      const { kernel, roots } = guest(mode);
      const whole = kernel.snapshot();
      // The last table is that of the last process.
      const end = whole.regions[0]!.byteLength - 4096;
      const memory: PhysicalMemory = {
        readEntry: (pa, byteLength, into) => (pa < end ? whole.memory.readEntry(pa, byteLength, into) : READ_NO_MEMORY),
      };
      const cut = { ...whole, memory, regions: [{ pa: 0, byteLength: end }] };
      const sureOf = async (snapshot: Snapshot) =>
        (await findRoots(snapshot))
          .filter(({ confidence }) => confidence === 'sure')
          .map(({ root }) => root)
          .sort();
      expect(await sureOf({ ...cut, missing: [{ pa: end, byteLength: 4096 }] })).toEqual([...roots].sort());
      expect(await sureOf(cut)).toEqual(roots.slice(0, -1).sort());
    },
  );

  test('tells 5-level paging from the 4-level tables below its roots', async () => {
    const { kernel } = guest('5-level');
    // The image of the kernel, in another PML4 that maps itself: all that a root of 4-level paging has.
    const pml4 = kernel.tableFor(0xffff_ffff_8000_0000n, 4);
    kernel.map(0xffff_ffff_8000_0000n, 320, 0n, PRESENT | WRITABLE);
    const found = await findRoots(kernel.snapshot());
    expect(found.filter(({ root }) => root === Number(pml4))).toEqual([]);
    expect(new Set(found.filter(({ confidence }) => confidence === 'sure').map(({ mode }) => mode))).toEqual(
      new Set(['5-level']),
    );
    // Without 5-level paging to choose it is the best there is.
    expect((await findRoots(kernel.snapshot(), { modes: ['4-level'] }))[0]).toMatchObject({ root: Number(pml4) });
  });

  test('a root that is one of its own tables is sure where there is code of a kernel, and likely where not', async () => {
    const builder = new SpaceBuilder();
    builder.map(0xffff_f800_0000_0000n, 4, 0x1000n, PRESENT | WRITABLE);
    builder.machine.put(builder.root + 493n * 8n, builder.root | PRESENT | WRITABLE);
    expect((await findRoots(builder.snapshot()))[0]).toMatchObject({
      root: Number(builder.root),
      confidence: 'likely',
      reason: 'its entry 493 is the table itself; nothing else agrees',
    });
    builder.map(0xffff_f801_0000_0000n, 64, 0x2_0000n, PRESENT);
    for (let pa = 0x2_0000; pa < 0x6_0000; pa += 1024) {
      builder.machine.memory.addPage(Math.floor(pa / 4096));
      builder.machine.memory.writeU32(pa, 0x9090_9090);
    }
    expect((await findRoots(builder.snapshot()))[0]).toMatchObject({
      root: Number(builder.root),
      confidence: 'sure',
      maps: 'kernel',
      reason: "its entry 493 is the table itself, and has a kernel's code",
    });
  });

  test('a page table of a direct map that maps itself is no root', async () => {
    for (const mode of ['32-bit', '4-level'] as const) {
      const builder = new SpaceBuilder(mode);
      builder.map(KERNEL[mode], 1024, 0n, PRESENT | WRITABLE);
      const direct = builder.tableFor(KERNEL[mode], 1);
      addOther(builder, 3);
      const found = await findRoots(builder.snapshot());
      expect(found.filter(({ root }) => root === Number(direct))).toEqual([]);
    }
  });

  test('64-bit tables are no roots of 32-bit paging', async () => {
    const { kernel } = guest('4-level', 4);
    kernel.map(KERNEL['4-level'] + 0x20_0000n, 4096, 0x20_0000n, PRESENT | WRITABLE);
    const found = await findRoots(kernel.snapshot(), { modes: ['32-bit'] });
    expect(found.filter(({ confidence }) => confidence !== 'possible')).toEqual([]);
  });

  test.each(MODES)('a root of %s paging that maps memory where it is, as firmware does, is likely', async (mode) => {
    const builder = new SpaceBuilder(mode);
    builder.map(0n, 320, 0n, PRESENT | WRITABLE);
    const found = await findRoots(builder.snapshot());
    expect(found[0]).toMatchObject({
      root: Number(builder.root),
      mode,
      confidence: 'likely',
      maps: 'identity',
      reason: 'it maps memory, itself included, at its own addresses',
    });
  });

  test("the user's half of a pair is likely", async () => {
    const builder = new SpaceBuilder();
    const user = builder.newTable();
    builder.map(0x40_0000n, 2, 0x1000n).map(KERNEL['4-level'], 320, 0n, PRESENT | WRITABLE);
    builder.machine.put(user, builder.machine.read(builder.root, 8)!);
    // The kernel's own copy of an entry forbids to execute.
    builder.machine.put(builder.root, builder.machine.read(builder.root, 8)! | (1n << 63n));
    const [entryArea, pointers, directory] = [builder.newTable(), builder.newTable(), builder.newTable()];
    builder.machine.put(user + 508n * 8n, pointers | PRESENT | WRITABLE);
    builder.machine.put(pointers, directory | PRESENT | WRITABLE);
    builder.machine.put(directory, entryArea | PRESENT | WRITABLE);
    builder.machine.put(entryArea, 0x5000n | PRESENT);
    const found = await findRoots(builder.snapshot(), { modes: ['4-level'] });
    expect(found.map(({ root, confidence, reason }) => `${hex(root)} ${confidence}: ${reason}`)).toEqual([
      '0x100000 likely: its upper half maps the table itself, writable; nothing else agrees',
      "0x101000 likely: the user's half of a pair, the kernel's is 0x100000",
    ]);
  });

  test('what maps itself read-only, or for user mode, is not sure', async () => {
    for (const flags of [PRESENT, PRESENT | WRITABLE | USER]) {
      const builder = new SpaceBuilder();
      builder.map(KERNEL['4-level'], 320, 0n, flags);
      expect(await findRoots(builder.snapshot(), { modes: ['4-level'] })).toMatchObject([{ confidence: 'possible' }]);
    }
  });

  test('what merely looks like a root is nothing to answer from', async () => {
    const builder = new SpaceBuilder();
    builder.map(KERNEL['4-level'], 320, 0n, PRESENT);
    await expect(findAddressSpace(builder.snapshot())).rejects.toMatchObject({
      code: 'source-unavailable',
      message: expect.stringMatching(
        /no page table in this memory that is certainly a root, only .* as 0x1.* ptmon roots/,
      ),
    });
    const named = findAddressSpace(builder.snapshot(), { root: builder.root });
    await expect(named).rejects.toThrow('0x100000 merely looks like a root of 4-level paging, so give the guest');
    const told = await findAddressSpace(builder.snapshot(), { root: builder.root, mode: '4-level' });
    expect(told).toMatchObject({ isGuess: false });
  });

  test('where a source lacks memory, a root of which nothing is sure may be that of a boot loader: it is not taken', async () => {
    const builder = new SpaceBuilder();
    builder.map(0n, 0x400, 0n, PRESENT | WRITABLE);
    const whole = builder.snapshot();
    expect(await findAddressSpace(whole)).toMatchObject({ isGuess: true, root: Number(builder.root) });
    const cut = { ...whole, missing: [{ pa: 2 ** 30, byteLength: 4096 }] };
    await expect(findAddressSpace(cut)).rejects.toMatchObject({ code: 'source-unavailable' });
    expect(await findAddressSpace(cut, { root: builder.root })).toMatchObject({ isGuess: true });
  });

  test('memory without roots has none', async () => {
    const builder = new SpaceBuilder();
    addOther(builder, 2);
    const found = await findRoots(builder.snapshot());
    expect(found.filter(({ confidence }) => confidence !== 'possible')).toEqual([]);
  });

  test('tables without end do not hold it up', async () => {
    const builder = new SpaceBuilder();
    for (let slot = 0n; slot < 512n; slot += 2n)
      builder.machine.put(builder.root + slot * 8n, builder.root | PRESENT | USER);
    const start = performance.now();
    await findRoots(builder.snapshot(), { modes: ['4-level'] });
    expect(performance.now() - start).toBeLessThan(20_000);
  });

  test('says how far it is, and can be broken off', async () => {
    const { kernel } = guest('4-level', 40);
    const said: Progress[] = [];
    const stop = new AbortController();
    const reason = new Error('enough');
    const snapshot: Snapshot = { ...kernel.snapshot(), regions: [{ pa: 0, byteLength: 2 ** 30 }] };
    const options = {
      signal: stop.signal,
      onProgress: (progress: Progress) => {
        said.push(progress);
        if (said.length === 2) stop.abort(reason);
      },
    };
    await expect(findRoots(snapshot, options)).rejects.toBe(reason);
    expect(said[0]).toMatchObject({ what: 'searching for page tables', total: 2 ** 30, unit: 'bytes' });
  });
});

describe('findAddressSpace', () => {
  const registers = {
    vcpuCount: 2,
    readRegisters: (vcpu: number) => ({
      cr0: vcpu === 0 ? 0x8000_0001n : 1n,
      cr3: 0x1234_5005n,
      cr4: 0x20n,
      efer: 0xd00n,
    }),
  };
  const bare = (more: Partial<Snapshot>): Snapshot => ({ ...new SpaceBuilder().snapshot(), ...more });
  const kernelRoot = { root: 0x9000, mode: '5-level', from: 'VMCOREINFO' } as const;

  test.each([
    ['by registers', bare({ registers }), {}, 'root 0x12345000 (CR3 of vCPU 0), 4-level paging'],
    ['as told', bare({ registers }), { root: 0x7007n }, 'root 0x7000 (as told), 4-level paging'],
    ['in another mode', bare({ registers }), { mode: '5-level' }, 'root 0x12345000 (CR3 of vCPU 0), 5-level paging'],
    ['as the source names it', bare({ kernelRoot }), {}, "root 0x9000 (the kernel's, by VMCOREINFO), 5-level paging"],
    [
      'told, in the mode that the source names',
      bare({ kernelRoot }),
      { root: 0x7000n },
      'root 0x7000 (as told), 5-level paging',
    ],
    ['told all of it', bare({}), { root: 0x7000n, mode: 'pae' }, 'root 0x7000 (as told), pae paging'],
  ] as const)('%s', async (_name, snapshot, request, from) => {
    expect(await findAddressSpace(snapshot, request)).toMatchObject({ from, isGuess: false });
  });

  test('by a search, which says how sure it is', async () => {
    const { kernel, roots } = guest('4-level');
    const reason =
      "found by a search, sure, a kernel's half alone, no process's: its upper half maps the table itself, writable; " +
      'one of 4 that are sure, --root chooses another';
    expect(await findAddressSpace(kernel.snapshot())).toMatchObject({
      root: roots[0],
      isGuess: true,
      from: `root ${hex(roots[0]!)} (${reason}), 4-level paging`,
    });
    // Told the root, it finds the mode.
    expect(await findAddressSpace(kernel.snapshot(), { root: BigInt(roots[2]!) })).toMatchObject({
      root: roots[2],
      isGuess: true,
    });
  });

  test.each([
    ['paging that is off', bare({ registers }), { vcpu: 1 }, 'source-unavailable', /paging is off on vCPU 1/],
    [
      'memory without a root',
      bare({}),
      {},
      'source-unavailable',
      /^made: no page in it looks like a top-level page table: give --root and --paging$/,
    ],
    [
      'a root that is none',
      bare({}),
      { root: 0x5000n },
      'bad-argument',
      /0x5000 does not look like a root, so give the guest's paging mode with --paging/,
    ],
  ] as const)('refuses %s', async (_name, snapshot, request, code, message) => {
    const going = findAddressSpace(snapshot, request);
    await expect(going).rejects.toMatchObject({ code });
    await expect(going).rejects.toThrow(message);
  });
});
