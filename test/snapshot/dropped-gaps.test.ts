/** Raw files whose positions are no physical addresses: the map that page tables agree on is proposed, and is the right one. */
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { hex } from '../../src/core/address/va.ts';
import { openDump } from '../../src/drivers/dump/index.ts';
import { findAddressSpace, findDroppedGaps, findRoots } from '../../src/snapshot/index.ts';
import { pagePhase } from '../../src/snapshot/roots/page-phase.ts';
import { run } from '../cli/run.ts';
import { temporaryFolder } from '../drivers/qemu/launch/temporary-folder.ts';
import { LARGE, PRESENT, SpaceBuilder, USER, WRITABLE } from './space.ts';

const PROCESSES = 12;
const KERNEL = 0xffff_8880_0000_0000n;

/** The memory of a guest with some processes, and the roots of them. */
function guest(salt = 0): { readonly memory: Buffer; readonly roots: readonly number[] } {
  const kernel = new SpaceBuilder();
  kernel.map(KERNEL, 420, 0n, PRESENT | WRITABLE);
  const { machine } = kernel;
  const roots = [kernel.root];
  for (let process = 0; process < PROCESSES; process++) {
    const root = kernel.newTable();
    // Tables are not side by side: what is between them is memory of the process.
    for (let page = 0; page < 3 + ((process + salt) % 4); page++) kernel.newTable();
    machine.put(root + 273n * 8n, machine.read(kernel.root + 273n * 8n, 8)!);
    let table = root;
    for (let level = 0; level < 3; level++) {
      for (let page = 0; page < (process * 5 + level * 3 + salt * (process + 1)) % 4; page++) kernel.newTable();
      const next = kernel.newTable();
      machine.put(table + BigInt(8 * (process % 3)), next | PRESENT | WRITABLE | USER);
      table = next;
    }
    machine.put(table, 0x5000n | PRESENT | USER);
    roots.push(root);
  }
  return { memory: memoryOf(kernel), roots: roots.map(Number) };
}

/** Where a 32-bit kernel maps all memory, and where in it pointers to its roots are. */
const [DIRECT_MAP, POINTERS] = [0xc000_0000n, 0x200_0000];

/** Of a 32-bit kernel: a direct map of large pages, of which two are split, and processes that have it, too; with pointers to the roots. */
function legacyGuest(): { readonly memory: Buffer; readonly roots: readonly number[] } {
  const kernel = new SpaceBuilder('32-bit');
  const [at, largePage] = [DIRECT_MAP, 0x40_0000n];
  for (let page = 0n; page < 12n; page++) {
    const [va, pa] = [at + page * largePage, page * largePage];
    if (page === 0n || page === 4n) kernel.map(va, 1024, pa, PRESENT | WRITABLE);
    else kernel.put(va, 2, pa | PRESENT | WRITABLE | LARGE);
    for (let between = 0; between < 3; between++) kernel.newTable();
  }
  const { machine } = kernel;
  const roots = [kernel.root];
  for (let process = 0; process < PROCESSES; process++) {
    const [root, table] = [kernel.newTable(), kernel.newTable()];
    roots.push(root);
    for (let slot = 768n; slot < 780n; slot++) machine.put(root + slot * 4n, machine.read(kernel.root + slot * 4n, 4)!);
    machine.put(root + BigInt(4 * process), table | PRESENT | WRITABLE | USER);
    machine.put(table, 0x5000n | PRESENT | USER);
  }
  const memory = Buffer.concat([memoryOf(kernel)], 12 * Number(largePage));
  for (const [index, root] of roots.entries()) memory.writeUInt32LE(Number(DIRECT_MAP + root), POINTERS + 4 * index);
  return { memory, roots: roots.map(Number) };
}

function memoryOf(kernel: SpaceBuilder): Buffer {
  const { byteLength } = kernel.snapshot().regions[0]!;
  const pages = Array.from({ length: byteLength / 4096 }, (_, gfn) => {
    const page = Buffer.from(kernel.machine.memory.page(gfn)?.slice().buffer ?? new ArrayBuffer(4096));
    // What is no table has something at its beginning, as most pages have.
    if (page.every((byte) => byte === 0)) page.write('memory of a process', 'latin1');
    return page;
  });
  return Buffer.concat(pages);
}

/** Puts empty lists of a kernel into every 64th page from 32 MiB on: each is two pointers to itself, by the direct map. */
function emptyLists(whole: Buffer, wordBytes: 4 | 8): Buffer {
  for (let page = 0x200_0000; page < whole.length; page += 64 * 4096) {
    // What is moved in a copy is no list.
    for (const at of [page + 0x80, page + 0xf00]) {
      for (const word of [at, at + wordBytes]) {
        if (wordBytes === 4) whole.writeUInt32LE(Number(DIRECT_MAP) + at, word);
        else whole.writeBigUInt64LE(KERNEL + BigInt(at), word);
      }
    }
  }
  return whole;
}

/** Puts Linux' list of RAM into memory: a `struct resource` for each range, as 64-bit kernels lay it out. */
function listRam(memory: Uint8Array, ranges: readonly (readonly [first: number, last: number])[]): Buffer {
  const listing = Buffer.from(memory);
  for (const [index, [first, last]] of ranges.entries()) {
    const at = 0x5_0100 + index * 0xc0;
    for (const [word, value] of [first, last, 0xffff_ffff_822d_0e30n, 0x8100_0200].entries())
      listing.writeBigUInt64LE(BigInt(value), at + word * 8);
  }
  return listing;
}

/**
 * Copies of tables side by side, as a page cache has them, and tables that name others 61 pages further on; all of it at an address.
 *
 * @param isStack the tables lead to neighbours, the highest first, as those of a process that has touched its stack
 */
function oldTables(pa: number, isStack = false): Buffer {
  const [copies, parents, further] = [80, 10, 61];
  const pages = Buffer.alloc((copies + parents) * 4096);
  for (let copy = 0; copy < copies; copy++) {
    pages.writeBigUInt64LE(0x5000n | PRESENT | USER, copy * 4096);
    const [parent, slot] = isStack
      ? [Math.floor(copy / 8), 7 - (copy % 8)]
      : [copy % parents, Math.floor(copy / parents)];
    const entry = BigInt(pa + (further + copy) * 4096) | PRESENT | WRITABLE;
    pages.writeBigUInt64LE(entry, (copies + parent) * 4096 + slot * 8);
  }
  return pages;
}

function fileOf(...parts: readonly Uint8Array[]): string {
  const path = join(temporaryFolder(), 'raw');
  writeFileSync(path, Buffer.concat(parts));
  return path;
}

const { memory, roots } = guest();
const MIB = 0x10_0000;

/** As LiME saves it with format=raw: RAM from 0x1000 on to the end of low memory, and from 1 MiB on. */
function withoutGaps(lowEnd: number, end = memory.length): Buffer[] {
  const listing = listRam(memory, [
    [0x1000, lowEnd - 1],
    [MIB, end - 1],
  ]);
  return [listing.subarray(0x1000, lowEnd), listing.subarray(MIB)];
}

describe('a raw file', () => {
  test.each<[what: string, parts: readonly Uint8Array[], pieces: readonly (readonly [number, number])[]]>([
    [
      'of LiME without gaps: RAM from 0x1000 to 0x9fbff, and from 1 MiB, as Linux lists it',
      withoutGaps(0x9_fc00),
      [
        [0x1000, 0],
        [MIB, 0x9_ec00],
      ],
    ],
    [
      'whose low memory has whole pages',
      withoutGaps(0x9_f000),
      [
        [0x1000, 0],
        [MIB, 0x9_e000],
      ],
    ],
    ['with a header', [Buffer.alloc(0x3000, 'header of 3 pages '), memory], [[0, 0x3000]]],
    ['with a header of any length', [Buffer.alloc(0x1498, 'header '), memory], [[0, 0x1498]]],
    ['with a header, and something behind', [Buffer.alloc(0x698), memory, Buffer.alloc(11, 'end')], [[0, 0x698]]],
    [
      'with a header, and page tables that lead to a row of pages, the highest first',
      [Buffer.alloc(0x3000, 'header of 3 pages '), memory, oldTables(memory.length, true)],
      [[0, 0x3000]],
    ],
    [
      'with a header of 1 MiB of zeroes, and lists of a kernel',
      [Buffer.alloc(MIB), emptyLists(Buffer.concat([memory], 48 * MIB), 8)],
      [[0, MIB]],
    ],
    ['with one byte in front', [Buffer.alloc(1, 'x'), memory], [[0, 1]]],
  ])('%s', async (_what, parts, pieces) => {
    const path = fileOf(...parts);
    const dump = await openDump(path);
    onTestFinished(() => dump.close());
    const found = await findDroppedGaps(dump);
    expect(found?.pieces.map(({ pa, position }) => [pa, position])).toEqual(pieces);
    await expect(findAddressSpace(dump)).rejects.toMatchObject({ code: 'bad-argument' });
    for (const command of ['map', 'roots']) {
      const { code, stdout, stderr } = await run([command, path]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toContain('the positions in this file are not physical addresses');
      // The map that it proposes is the right one.
      const [, map] = /--ram-map (\S+);/.exec(stderr) ?? [];
      const mapped = await openDump(path, { ramMap: map! });
      onTestFinished(() => mapped.close());
      const sure = (await findRoots(mapped)).filter(({ confidence }) => confidence === 'sure');
      expect(sure.map(({ root }) => root).sort()).toEqual([...roots].sort());
    }
  });

  test('with a header and a root that the caller gives: a warning proposes the map', async () => {
    const dump = await openDump(fileOf(Buffer.alloc(0x3000, 'header of 3 pages '), memory));
    onTestFinished(() => dump.close());
    const space = await findAddressSpace(dump, { root: BigInt(roots[0]!), mode: '4-level' });
    expect(space.doubt).toContain('the positions in this file are not physical addresses');
    expect(space.doubt).toContain(`--ram-map 0x0+${hex(memory.length)}@0x3000;`);
  });

  test('in which old tables agree on another distance, more often than all others, has the map of the list', async () => {
    const old = oldTables(memory.length);
    const { code, stderr } = await run(['roots', fileOf(...withoutGaps(0x9_fc00, memory.length + old.length), old)]);
    expect(code).toBe(2);
    expect(stderr).toContain('agree on: --ram-map 0x1000+0x9e000@0x0,0x100000+0xfa000@0x9ec00;');
  });

  test.each<[what: string, parts: readonly Uint8Array[], old?: readonly Uint8Array[]]>([
    ['of which old tables say something else than others', [memory.subarray(0x1000, 0x9_fc00), memory.subarray(MIB)]],
    ['with nothing but old tables', [Buffer.alloc(0x9_ec00)]],
    // Where the roots belong is known, and nothing says where the gap is in front of them.
    ['of which all tables agree', [memory.subarray(0x1000, 0x9_fc00), memory.subarray(MIB)], []],
    ['that begins at 1 MiB', [memory.subarray(MIB)], []],
    ['with a hole in the middle', [memory.subarray(0, 0x8_0000), memory.subarray(0x9_0000)], []],
  ])(
    'without gaps and a list, %s, has no map, and it is said why',
    async (_what, parts, old = [oldTables(memory.length)]) => {
      const { code, stdout, stderr } = await run(['roots', fileOf(...parts, ...old)]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toContain('do not seem to be physical addresses');
      expect(stderr).toContain('its page tables do not agree on a map');
      expect(stderr).not.toMatch(/agree on: --ram-map/);
    },
  );

  test('that is too large to lie in one piece, as the RAM file of q35', { timeout: 180_000 }, async () => {
    const [GIB, LOW] = [2 ** 30, 2 * 2 ** 30];
    // Other tables, for memory from 4 GiB on.
    const high = guest(1).memory;
    for (let at = MIB; at < high.length; at += 8) {
      const entry = high.readBigUInt64LE(at);
      if ((entry & 1n) !== 0n && entry >= BigInt(MIB)) high.writeBigUInt64LE(entry + 4n * BigInt(GIB), at);
    }
    const path = fileOf();
    const fd = openSync(path, 'r+');
    ftruncateSync(fd, 2.75 * GIB);
    writeSync(fd, memory, 0, memory.length, 0);
    writeSync(fd, high, 0, high.length, LOW);
    closeSync(fd);
    const { code, stderr } = await run(['roots', path]);
    expect(code).toBe(2);
    expect(stderr).toContain('--ram-map 0x0+0x80000000@0x0,0x100000000+0x30000000@0x80000000;');
  });

  describe('as long as the ranges of RAM that Linux lists', () => {
    const LOW_END = 0x9_fc00;
    /** Lists all over memory, and more of them in a kernel's array of pages, which lies in one place. */
    function withArrayOfPages(): Buffer {
      const lists = emptyLists(Buffer.concat([memory], 48 * MIB), 8);
      for (let page = 44 * MIB; page < 45 * MIB; page += 4096) {
        for (const word of [page + 8, page + 16]) lists.writeBigUInt64LE(0xffff_ea00_0000_0008n + BigInt(page), word);
      }
      return listRam(lists, [
        [0x1000, LOW_END - 1],
        [MIB, lists.length - 1],
      ]);
    }
    const foundIn = async (...parts: readonly Buffer[]) => {
      const dump = await openDump(fileOf(...parts));
      onTestFinished(() => dump.close());
      return (await findDroppedGaps(dump))?.pieces.map(({ pa, position }) => [pa, position]);
    };

    test('without its gaps: an array of pages says nothing against the map', async () => {
      const lists = withArrayOfPages();
      const pieces = [
        [0x1000, 0],
        [MIB, LOW_END - 0x1000],
      ];
      expect(await foundIn(lists.subarray(0x1000, LOW_END), lists.subarray(MIB))).toEqual(pieces);
    });

    test.each([36 * MIB, 40 * MIB])('with its gaps, and as much missing at %i: no map', async (at) => {
      const lists = withArrayOfPages();
      expect(await foundIn(lists.subarray(0, at), lists.subarray(at + 0x1000 + MIB - LOW_END))).toEqual([]);
    });
  });

  test('whose positions are addresses is left alone, and so is one that a map places', async () => {
    for (const options of [{}, { ramMap: '0x100000+1M@0' }]) {
      const dump = await openDump(fileOf(memory), options);
      onTestFinished(() => dump.close());
      expect(await findDroppedGaps(dump)).toBeUndefined();
    }
  });

  test.each<[what: string, front: number, cut: number, pieces: readonly (readonly [number, number])[] | undefined]>([
    ['a header', 0x1498, 0, [[0, 0x1498]]],
    ['its first MiB missing', 0, MIB, []],
    ['nothing in front', 0, 0, undefined],
  ])('of legacy 32-bit paging with %s', async (_what, front, cut, pieces) => {
    const dump = await openDump(fileOf(Buffer.alloc(front, 'header '), legacyGuest().memory.subarray(cut)));
    onTestFinished(() => dump.close());
    const found = await findDroppedGaps(dump);
    expect(found?.pieces.map(({ pa, position }) => [pa, position])).toEqual(pieces);
  });

  test('of legacy 32-bit paging with a hole in its middle: of what lies behind the hole, no root is sure', async () => {
    const { memory: whole, roots: all } = legacyGuest();
    const hole = all[7]!;
    const files = [fileOf(whole), fileOf(whole.subarray(0, hole), whole.subarray(hole + 0x3000))];
    const [found, withHole] = await Promise.all(files.map(sureRoots));
    expect(found).toEqual([...all].sort());
    expect(withHole).toEqual([...all.slice(0, 7)].sort());
  });

  describe('of which a hole behind all page tables was dropped', () => {
    const HOLE = { from: 0x240_0000, byteLength: 0x40_0000 };
    const cut = (whole: Buffer, from = HOLE.from) =>
      fileOf(whole.subarray(0, from), whole.subarray(from + HOLE.byteLength));

    test.each<[what: string, wordBytes: 4 | 8, whole: () => Buffer]>([
      ['32-bit', 4, () => legacyGuest().memory],
      ['64-bit', 8, () => Buffer.concat([memory], 12 * 0x40_0000)],
    ])('%s: lists of the kernel show it, and its list of RAM says where', async (_what, wordBytes, whole) => {
      const lists = emptyLists(whole(), wordBytes);
      expect(await sureRoots(fileOf(lists))).not.toEqual([]);
      const { code, stdout, stderr } = await run(['roots', cut(lists)]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toContain(
        '0x400000 bytes of addresses are missing somewhere between the positions 0x23c1000 and 0x2400000, by the kernel',
      );
      listRam(lists, [
        [0x1000, HOLE.from - 1],
        [HOLE.from + HOLE.byteLength, lists.length - 1],
      ]).copy(lists);
      const known = await run(['roots', cut(lists)]);
      expect(known.code).toBe(2);
      // As many bytes of something else may be missing, and the gap be in the file.
      expect(known.stderr).toContain('0x400000 bytes of addresses are missing');
      expect(known.stderr).toContain('Give the ranges of RAM');
    });

    test.each([
      ['where the list of RAM has it', HOLE.from, '0x0+0x2400000@0x0,0x2800000+0x800000@0x2400000'],
      ['somewhere else', HOLE.from - MIB, undefined],
      ['at the end', 12 * 0x40_0000, undefined],
    ])('as many bytes as a gap has, %s', async (_what, from, map) => {
      const lists = emptyLists(Buffer.concat([memory], 12 * 0x40_0000), 8);
      listRam(lists, [
        [0, HOLE.from - 1],
        [HOLE.from + HOLE.byteLength, lists.length - 1],
      ]).copy(lists);
      const file = from < lists.length ? cut(lists, from) : fileOf(lists.subarray(0, -HOLE.byteLength));
      const dump = await openDump(file);
      onTestFinished(() => dump.close());
      const found = await findDroppedGaps(dump);
      if (from >= lists.length) expect(found).toBeUndefined();
      else expect(found!.holes).toMatchObject([{ byteLength: HOLE.byteLength }]);
      const text = found?.pieces.map((each) => `${hex(each.pa)}+${hex(each.byteLength)}@${hex(each.position)}`).join();
      expect(text || undefined).toBe(map);
    });

    test('copies of pages with lists are no hole', async () => {
      const lists = emptyLists(legacyGuest().memory, 4);
      for (let copy = 0; copy < 20; copy++) lists.copyWithin(0x280_0000 + copy * 0x4000, 0x220_0000, 0x220_1000);
      expect(await sureRoots(fileOf(lists))).not.toEqual([]);
    });
  });

  test('of legacy 32-bit paging with a hole of one page: a root that seems to lead to itself for it is not sure', async () => {
    const { memory: whole, roots: all } = legacyGuest();
    const root = all[7]!;
    // It leads to the page in front of it, in whose place it is behind the hole; and it has a kernel's code.
    whole.writeUInt32LE((root - 4096) | 3, root + 1023 * 4);
    whole.writeUInt32LE(0x81, root + 780 * 4);
    for (const page of [0, 3 * MIB, 3 * MIB + 4096]) whole.write('code', page, 'latin1');
    const hole = all[3]!;
    const moved = fileOf(whole.subarray(0, hole), whole.subarray(hole + 4096));
    const dump = await openDump(moved);
    onTestFinished(() => dump.close());
    const found = (await findRoots(dump)).find((each) => each.root === root - 4096);
    expect(found).toMatchObject({ mode: '32-bit', confidence: 'likely' });
    expect(found!.reason).toBe('its entry 1023 is the table itself; nothing else agrees');
  });

  test('in which most pages begin with a zero byte has its pages where they are', async () => {
    const page = Buffer.alloc(4096);
    page[1] = 7;
    const dump = await openDump(fileOf(memory, ...Array.from({ length: 2000 }, () => page)));
    onTestFinished(() => dump.close());
    expect(await findDroppedGaps(dump)).toBeUndefined();
  });

  test('in which lists of the kernel name their own addresses has its pages where these are', async () => {
    const whole = Buffer.concat([memory], 48 * MIB);
    for (let page = 0; page < memory.length; page += 4096) {
      if (whole.subarray(page).toString('latin1', 0, 6) === 'memory') whole.fill(0, page, page + 4096);
    }
    for (let page = 40 * MIB; page < whole.length; page += 4096) whole[page + 1] = 7;
    const dump = await openDump(fileOf(emptyLists(whole, 8)));
    onTestFinished(() => dump.close());
    expect(pagePhase(dump)).toBe(1);
    expect(await findDroppedGaps(dump)).toBeUndefined();
    expect((await findAddressSpace(dump)).root).toBe(roots[0]);
  });

  test('without page tables is left alone', async () => {
    const dump = await openDump(fileOf(Buffer.alloc(MIB, 'no page tables here, ')), { ramMap: '0x0+1M@0' });
    onTestFinished(() => dump.close());
    expect(await findDroppedGaps({ ...dump, rawBytes: MIB })).toBeUndefined();
  });
});

async function sureRoots(path: string): Promise<number[]> {
  const dump = await openDump(path);
  onTestFinished(() => dump.close());
  return (await findRoots(dump)).flatMap(({ confidence, root }) => (confidence === 'sure' ? [root] : [])).sort();
}
