import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import { PageCache } from '../../../src/core/memory/page-cache.ts';
import { type PhysicalMemory, READ_NO_MEMORY, READ_NOT_FETCHED } from '../../../src/core/memory/physical-memory.ts';
import {
  type EnumerateOptions,
  type MappedRange,
  MISSING_LIMIT,
  mappedRanges,
} from '../../../src/core/paging/enumerate.ts';
import { hex, Machine, tableAt } from './machine.ts';

/** `va+byteLength -> pa / pageSize rights`, so that a difference can be read. */
function line({ va, byteLength, pa, pageSize, rights }: MappedRange): string {
  const { writable, user, noExecute, protectionKey: key } = rights;
  const letters = `${writable ? 'w' : '-'}${user ? 'u' : '-'}${noExecute ? '-' : 'x'}${key > 0 ? ` key ${key}` : ''}`;
  return `${hex(va)}+${hex(byteLength)} -> ${hex(pa)} / ${hex(pageSize)} ${letters}`;
}

const lines = (machine: Machine, root: bigint, options?: EnumerateOptions): string[] =>
  [...mappedRanges(machine.paging, machine.memory, root, options)].map(line);

/** Counts reads, and makes some frames missing. */
class Watched implements PhysicalMemory {
  reads = 0;
  readonly missing = new Set<number>();
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  readEntry(pa: number, byteLength: 4 | 8, out: Uint32Array) {
    this.reads++;
    if (this.missing.has(Math.floor(pa / 4096))) return READ_NOT_FETCHED;
    return this.#machine.memory.readEntry(pa, byteLength, out);
  }
}

const GIB = 1n << 30n;
const MIB = 1n << 20n;

/** A 4-level machine whose first 2 MiB are mapped by one page table, with these entries in it. */
function pageTable(entries: Readonly<Record<number, bigint>>): { machine: Machine; root: bigint } {
  const machine = new Machine({ mode: '4-level' });
  const root = machine.chain(0n, 1, 0n);
  for (const [slot, value] of Object.entries(entries)) machine.put(tableAt(1) + BigInt(slot) * 8n, value);
  return { machine, root };
}

describe('Enumeration: what is mapped, ascending', () => {
  test('nothing: an empty root, a root that is no RAM, a root of garbage', () => {
    const machine = new Machine({ mode: '4-level', physicalAddressBits: 40 });
    expect(lines(machine, 0x5000n)).toEqual([]);
    machine.memory.addPage(5);
    expect(lines(machine, 0x5000n)).toEqual([]);
    machine.memory.page(5)!.fill(0xffff_ffff);
    expect(lines(machine, 0x5000n)).toEqual([]);
  });

  test('CR3 is taken as it is', () => {
    const { machine, root } = pageTable({ 3: 0x9027n });
    expect(lines(machine, root | (1n << 63n) | 0x18n)).toEqual(['0x3000+0x1000 -> 0x9000 / 0x1000 wux']);
  });

  test.each([
    ['5-level', 0xffff_ffff_ffff_f000n],
    ['5-level', 0xff00_0000_0000_0000n],
    ['5-level', 0x00ff_ffff_ffff_f000n],
    ['4-level', 0xffff_ffff_ffff_f000n],
    ['4-level', 0xffff_8000_0000_0000n],
    ['4-level', 0x0000_7fff_ffff_f000n],
    ['pae', 0xffff_f000n],
    ['pae', 0x7654_3000n],
    ['32-bit', 0xffff_f000n],
    ['32-bit', 0x7654_3000n],
  ] as const)('%s: one page at %i, as far as it is from 0', (mode, va) => {
    const machine = new Machine({ mode });
    const root = machine.chain(va, 1, 0x9027n);
    expect(lines(machine, root)).toEqual([`${hex(va)}+0x1000 -> 0x9000 / 0x1000 wux`]);
  });

  test('tables outside RAM, absent and reserved entries map nothing, and what follows is found', () => {
    const machine = new Machine({ mode: '4-level', physicalAddressBits: 40 });
    const root = machine.chain(5n * GIB, 1, 0x9027n);
    machine.put(machine.entryPa(3, tableAt(3), 0n), 0x77_7777_7027n);
    machine.put(machine.entryPa(3, tableAt(3), GIB), (1n << 40n) | tableAt(2) | 0x27n);
    machine.put(machine.entryPa(3, tableAt(3), 2n * GIB), tableAt(2) | 0x26n);
    expect(lines(machine, root)).toEqual(['0x140000000+0x1000 -> 0x9000 / 0x1000 wux']);
  });

  test('rights are those of the walk', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = machine.chain(0n, 1, 0x9027n | (5n << 59n), { 4: 0x25n, 3: 0x27n | (1n << 63n), 2: 0x23n });
    expect(lines(machine, root)).toEqual(['0x0+0x1000 -> 0x9000 / 0x1000 --- key 5']);
  });

  test('every leaf size', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = machine.chain(0n, 1, 0x9027n);
    machine.put(tableAt(2) + 8n, 0x4000_10a7n);
    machine.put(tableAt(3) + 8n, 0xc000_00a7n);
    expect(lines(machine, root)).toEqual([
      '0x0+0x1000 -> 0x9000 / 0x1000 wux',
      '0x200000+0x200000 -> 0x40000000 / 0x200000 wux',
      '0x40000000+0x40000000 -> 0xc0000000 / 0x40000000 wux',
    ]);
    const legacy = new Machine({ mode: '32-bit' });
    legacy.put(0x5000n + 4n * 1023n, 0xffdf_e0e7n & ~0x0020_0000n);
    expect(lines(legacy, 0x5000n)).toEqual(['0xffc00000+0x400000 -> 0xffffc00000 / 0x400000 wux']);
  });
});

describe('Enumeration: merging', () => {
  test('leaves that continue each other are one range', () => {
    const { machine, root } = pageTable({ 3: 0x9027n, 4: 0xa027n, 5: 0xb067n });
    expect(lines(machine, root)).toEqual(['0x3000+0x3000 -> 0x9000 / 0x1000 wux']);
    expect(lines(machine, root, { merge: true })).toHaveLength(1);
  });

  test('or one range each, where asked for', () => {
    const { machine, root } = pageTable({ 3: 0x9027n, 4: 0xa027n, 5: 0xb067n });
    expect(lines(machine, root, { merge: false })).toEqual([
      '0x3000+0x1000 -> 0x9000 / 0x1000 wux',
      '0x4000+0x1000 -> 0xa000 / 0x1000 wux',
      '0x5000+0x1000 -> 0xb000 / 0x1000 wux',
    ]);
  });

  test.each([
    ['a hole in virtual memory', { 3: 0x9027n, 5: 0xa027n }],
    ['frames that do not follow', { 3: 0x9027n, 4: 0xb027n }],
    ['the same frame again', { 3: 0x9027n, 4: 0x9027n }],
    ['a frame before', { 3: 0x9027n, 4: 0x8027n }],
    ['other write rights', { 3: 0x9027n, 4: 0xa025n }],
    ['other user rights', { 3: 0x9027n, 4: 0xa023n }],
    ['other execute rights', { 3: 0x9027n, 4: 0xa027n | (1n << 63n) }],
    ['another protection key', { 3: 0x9027n, 4: 0xa027n | (1n << 59n) }],
  ])('%s ends a range', (_, entries) => {
    const { machine, root } = pageTable(entries);
    expect(lines(machine, root)).toHaveLength(2);
  });

  test('across tables of all levels, and into the sum that a number holds', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = tableAt(4);
    for (let top = 0n; top < 256n; top++) {
      machine.put(root + top * 8n, (0x10_0000n + top * 0x1000n) | 0x27n);
      for (let slot = 0n; slot < 512n; slot++)
        machine.put(0x10_0000n + top * 0x1000n + slot * 8n, ((top * 512n + slot) * GIB) | 0xa7n);
    }
    expect(lines(machine, root)).toEqual(['0x0+0x800000000000 -> 0x0 / 0x40000000 wux']);
  });

  test('not across page sizes', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = machine.chain(0n, 1, 0n);
    for (let slot = 0n; slot < 512n; slot++)
      machine.put(tableAt(1) + slot * 8n, (0x4000_0000n + slot * 0x1000n) | 0x27n);
    machine.put(tableAt(2) + 8n, 0x4020_00a7n);
    expect(lines(machine, root)).toEqual([
      '0x0+0x200000 -> 0x40000000 / 0x1000 wux',
      '0x200000+0x200000 -> 0x40200000 / 0x200000 wux',
    ]);
  });

  test('not across the non-canonical hole', () => {
    for (const [mode, last, first] of [
      ['4-level', 0x0000_7fff_ffff_f000n, 0xffff_8000_0000_0000n],
      ['5-level', 0x00ff_ffff_ffff_f000n, 0xff00_0000_0000_0000n],
    ] as const) {
      const machine = new Machine({ mode });
      const top = tableAt(mode === '4-level' ? 4 : 5);
      machine.chain(last, 1, 0x9027n);
      // The upper half has tables of its own, which the lower half's are written to first.
      for (let level = mode === '4-level' ? 3 : 4; level >= 1; level--) {
        const here = 0x90_0000n + BigInt(level) * 0x1000n;
        machine.put(here, level === 1 ? 0xa027n : (here - 0x1000n) | 0x27n);
        machine.put(
          machine.entryPa(mode === '4-level' ? 4 : 5, top, first),
          (0x90_0000n + (mode === '4-level' ? 0x3000n : 0x4000n)) | 0x27n,
        );
      }
      expect(lines(machine, top)).toEqual([
        `${hex(last)}+0x1000 -> 0x9000 / 0x1000 wux`,
        `${hex(first)}+0x1000 -> 0xa000 / 0x1000 wux`,
      ]);
    }
  });
});

describe('Enumeration: bounds', () => {
  const machine = new Machine({ mode: '4-level' });
  const root = machine.chain(0n, 3, 0x8000_00a7n);
  machine.put(tableAt(3) + 8n, 0x1_0000_00a7n);
  machine.put(tableAt(4) + 8n * 256n, tableAt(3) | 0x25n);

  const LOW = [
    '0x0+0x40000000 -> 0x80000000 / 0x40000000 wux',
    '0x40000000+0x40000000 -> 0x100000000 / 0x40000000 wux',
  ];
  const HIGH = [
    '0xffff800000000000+0x40000000 -> 0x80000000 / 0x40000000 -ux',
    '0xffff800040000000+0x40000000 -> 0x100000000 / 0x40000000 -ux',
  ];

  test.each<[string, EnumerateOptions, string[]]>([
    ['none', {}, [...LOW, ...HIGH]],
    ['all of it', { from: 0, to: 1n << 64n }, [...LOW, ...HIGH]],
    ['all but the last byte: its page still counts', { from: 0n, to: (1n << 64n) - 1n }, [...LOW, ...HIGH]],
    ['one page within a leaf', { from: 0x5000, to: 0x6000 }, ['0x5000+0x1000 -> 0x80005000 / 0x40000000 wux']],
    ['one byte', { from: 0x5fff, to: 0x6000 }, ['0x5000+0x1000 -> 0x80005000 / 0x40000000 wux']],
    ['two bytes in two pages', { from: 0x5fff, to: 0x6001 }, ['0x5000+0x2000 -> 0x80005000 / 0x40000000 wux']],
    ['an empty span', { from: 0x5000, to: 0x5000 }, []],
    ['an end before the start', { from: 0x9000, to: 0x5000 }, []],
    ['from alone', { from: 0xffff_8000_7fff_f000n }, ['0xffff80007ffff000+0x1000 -> 0x13ffff000 / 0x40000000 -ux']],
    ['to alone', { to: 0x1000n }, ['0x0+0x1000 -> 0x80000000 / 0x40000000 wux']],
    [
      'across two leaves',
      { from: 0x3fff_f000, to: 0x4000_1000 },
      ['0x3ffff000+0x1000 -> 0xbffff000 / 0x40000000 wux', '0x40000000+0x1000 -> 0x100000000 / 0x40000000 wux'],
    ],
    ['the hole', { from: 0x8000_0000_0000n, to: 0xffff_8000_0000_0000n }, []],
    ['from within the hole', { from: 0x1234_0000_0000_0000n }, HIGH],
    ['to within the hole', { to: 0x1234_0000_0000_0000n }, LOW],
    ['within the hole on both sides', { from: 0x1234_0000_0000_0000n, to: 0x2234_0000_0000_0000n }, []],
    [
      'to the first page of the upper half',
      { from: 1n << 47n, to: 0xffff_8000_0000_1000n },
      ['0xffff800000000000+0x1000 -> 0x80000000 / 0x40000000 -ux'],
    ],
    ['behind what is mapped', { from: 2n * GIB, to: 1n << 47n }, []],
    ['the last page', { from: (1n << 64n) - 1n }, []],
  ])('%s', (_, options, expected) => {
    expect(lines(machine, root, options)).toEqual(expected);
  });

  test('modes without an upper half end at 4 GiB', () => {
    for (const mode of ['pae', '32-bit'] as const) {
      const small = new Machine({ mode });
      const top = small.chain(0xffff_f000n, 1, 0x9027n);
      expect(lines(small, top, { from: 0xffff_0000, to: 1n << 64n })).toEqual([
        '0xfffff000+0x1000 -> 0x9000 / 0x1000 wux',
      ]);
      expect(lines(small, top, { from: 0xffff_f000, to: 2 ** 32 })).toHaveLength(1);
      expect(lines(small, top, { from: 2 ** 32 })).toEqual([]);
      expect(lines(small, top, { from: 0xffff_ffff_ffff_0000n })).toEqual([]);
      expect(lines(small, top, { to: 0xffff_f000 })).toEqual([]);
    }
  });

  test.each<[EnumerateOptions, RegExp]>([
    [{ from: -1n }, /^from -1 is not an unsigned 64-bit value/],
    [{ from: 1n << 64n }, /^from .* is not an unsigned 64-bit value/],
    [{ from: 0.5 }, /^from 0.5 is not an exact unsigned integer/],
    [{ to: (1n << 64n) + 1n }, /^to .* is not an unsigned 64-bit value/],
    [{ to: 2 ** 64 }, /^to .* is not an exact unsigned integer/],
    [{ to: -1 }, /^to -1 /],
  ])('refuses %o at the call', (options, message) => {
    const attempt = () => mappedRanges(machine.paging, machine.memory, root, options);
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(PtmonError);
  });

  test('refuses a root that is none at the call', () => {
    expect(() => mappedRanges(machine.paging, machine.memory, -1)).toThrow(/^root -1/);
  });
});

describe('Enumeration: holes are skipped by their span', () => {
  test('one page anywhere costs at most one table a level', () => {
    const machine = new Machine({ mode: '5-level' });
    const root = machine.chain(0xffff_ffff_ffff_f000n, 1, 0x9027n);
    const memory = new Watched(machine);
    expect([...mappedRanges(machine.paging, memory, root)]).toHaveLength(1);
    expect(memory.reads).toBe(5 * 512);
  });

  test('reading begins at `from` and ends at `to`', () => {
    const machine = new Machine({ mode: '5-level' });
    const va = 0xff7f_1234_5678_9000n;
    const root = machine.chain(va, 1, 0x9027n);
    const memory = new Watched(machine);
    expect([...mappedRanges(machine.paging, memory, root, { from: va, to: va + 1n })]).toHaveLength(1);
    expect(memory.reads).toBe(5);
  });

  test('a table that is no RAM is asked for once', () => {
    const machine = new Machine({ mode: '4-level' });
    const memory = new Watched(machine);
    expect([...mappedRanges(machine.paging, memory, 0x5000n)]).toEqual([]);
    expect(memory.reads).toBe(1);
  });
});

describe('C8 Enumeration of self-maps and cycles', () => {
  test('a self-map adds the tables, read as pages', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = machine.chain(0x1000n, 1, 0x9027n);
    machine.put(root + 8n * 510n, root | 0x23n);
    expect(lines(machine, root)).toEqual([
      '0x1000+0x1000 -> 0x9000 / 0x1000 wux',
      '0xffffff0000000000+0x1000 -> 0x11000 / 0x1000 w-x',
      '0xffffff7f80000000+0x1000 -> 0x21000 / 0x1000 w-x',
      '0xffffff7fbfc00000+0x1000 -> 0x31000 / 0x1000 w-x',
      '0xffffff7fbfdfe000+0x1000 -> 0x41000 / 0x1000 w-x',
    ]);
  });

  test('a root that names itself in every slot is endless to read and begins at once', () => {
    const machine = new Machine({ mode: '4-level' });
    for (let slot = 0n; slot < 512n; slot++) machine.put(0x5000n + slot * 8n, 0x5027n);
    const seen: string[] = [];
    for (const range of mappedRanges(machine.paging, machine.memory, 0x5000n)) {
      if (seen.push(line(range)) === 3) break;
    }
    expect(seen).toEqual([
      '0x0+0x1000 -> 0x5000 / 0x1000 wux',
      '0x1000+0x1000 -> 0x5000 / 0x1000 wux',
      '0x2000+0x1000 -> 0x5000 / 0x1000 wux',
    ]);
  });
});

describe('Enumeration of memory that is not here yet', () => {
  /** Runs until something is missing. Answers what was yielded before, and the addresses. */
  function run(machine: Machine, memory: PhysicalMemory, root: bigint, options?: EnumerateOptions) {
    const seen: string[] = [];
    try {
      for (const range of mappedRanges(machine.paging, memory, root, options)) seen.push(line(range));
    } catch (error) {
      expect(error).toBeInstanceOf(PtmonError);
      expect(error).toMatchObject({ code: 'not-fetched', facts: { root: Number(root) } });
      return { seen, missing: (error as PtmonError).facts.missing, message: (error as PtmonError).message };
    }
    return { seen, missing: [], message: '' };
  }

  test('the root first', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = machine.chain(0n, 1, 0x9027n);
    const memory = new Watched(machine);
    memory.missing.add(Number(root >> 12n));
    expect(run(machine, memory, root)).toEqual({
      seen: [],
      missing: [Number(root)],
      message: 'the tables of root 0x41000 are not all fetched yet; missing: 1, the first at 0x41000',
    });
    expect(run(machine, memory, root, { from: GIB * 512n }).missing).toEqual([Number(root) + 8]);
  });

  test('all that one pass can find, once for each frame, and nothing yielded behind the first', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = machine.chain(0n, 2, 0x8000_00a7n);
    const [first, second, third] = [0x70_0000n, 0x70_1000n, 0x70_2000n];
    machine.put(tableAt(2) + 8n, first | 0x27n);
    machine.put(tableAt(2) + 16n, 0x9020_00a7n);
    machine.put(tableAt(2) + 24n, second | 0x27n);
    machine.put(tableAt(2) + 32n, first | 0x27n);
    machine.put(tableAt(3) + 8n, third | 0x27n);
    for (const table of [first, second, third]) machine.put(table, 0xa000_0027n);
    const memory = new Watched(machine);
    for (const table of [first, second, third]) memory.missing.add(Number(table >> 12n));
    // The 2 MiB leaf before the first hole may go on behind it: it is not whole, so it is not yielded.
    expect(run(machine, memory, root)).toMatchObject({ seen: [], missing: [first, second, third].map(Number) });

    memory.missing.delete(Number(first >> 12n));
    const afterwards = run(machine, memory, root);
    expect(afterwards.seen).toEqual([
      '0x0+0x200000 -> 0x80000000 / 0x200000 wux',
      '0x200000+0x1000 -> 0xa0000000 / 0x1000 wux',
    ]);
    expect(afterwards.missing).toEqual([second, third].map(Number));
  });

  test('no more than the limit at once, the nearest first', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = machine.chain(0n, 2, 0n);
    const memory = new Watched(machine);
    const directories = [tableAt(2), 0x70_0000n, 0x70_1000n];
    const tables: number[] = [];
    for (const [index, directory] of directories.entries()) {
      machine.put(tableAt(3) + BigInt(index) * 8n, directory | 0x27n);
      for (let slot = 0; slot < 512; slot++) {
        const table = 0x1000_0000 + (index * 512 + slot) * 0x1000;
        tables.push(table);
        memory.missing.add(table / 4096);
        machine.put(directory + BigInt(slot) * 8n, BigInt(table) | 0x27n);
      }
    }
    expect(MISSING_LIMIT).toBe(1024);
    expect(run(machine, memory, root).missing).toEqual(tables.slice(0, MISSING_LIMIT));
    for (const table of tables.slice(0, MISSING_LIMIT)) memory.missing.delete(table / 4096);
    expect(run(machine, memory, root).missing).toEqual(tables.slice(MISSING_LIMIT));
  });

  test('C8 cycles end: each table is looked through once, not once for each way to it', () => {
    const machine = new Machine({ mode: '5-level' });
    for (let slot = 1n; slot < 512n; slot++) machine.put(0x5000n + slot * 8n, 0x5027n);
    machine.put(0x5000n, 0x6027n);
    const memory = new Watched(machine);
    memory.missing.add(6);
    expect(run(machine, memory, 0x5000n).missing).toEqual([0x6000]);
    expect(memory.reads).toBeLessThan(5 * 513);
    // The upper bound cuts a table of each level; those are looked through apart from the whole ones.
    memory.reads = 0;
    const bounds = { from: 0x0012_3456_789a_b000n, to: 0xffed_cba9_8765_4000n };
    machine.put(0x5000n + 8n * (bounds.from >> 48n), 0x6027n);
    expect(run(machine, memory, 0x5000n, bounds).missing).toEqual([0x6000 + 8 * 0x68]);
    expect(memory.reads).toBeLessThan(9 * 513);
  });

  test('what a cut table skips is found where the same table is whole', () => {
    const machine = new Machine({ mode: '4-level' });
    const directory = 0x70_0000n;
    const root = machine.chain(0n, 3, directory | 0x27n);
    machine.put(tableAt(3) + 8n, directory | 0x27n);
    machine.put(directory, 0x71_0027n | 0x1000n);
    machine.put(directory + 8n * 511n, 0x72_0027n | 0x1000n);
    const memory = new Watched(machine);
    memory.missing.add(0x711).add(0x721);
    expect(run(machine, memory, root, { from: 2n * MIB }).missing).toEqual([0x72_1000, 0x71_1000]);
    expect(run(machine, memory, root, { to: GIB + 2n * MIB }).missing).toEqual([0x71_1000, 0x72_1000]);
    expect(run(machine, memory, root, { to: 3n * MIB }).missing).toEqual([0x71_1000]);
    expect(run(machine, memory, root, { from: 2n * MIB, to: GIB }).missing).toEqual([0x72_1000]);
  });

  test('the two ways to go on give what one pass over local memory gives, through a cache of any size', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = tableAt(4);
    // 40 directories of which each slot maps 0 to 2 pages: 40 + 40 + 2 tables, ranges that cross them, holes.
    machine.put(root, tableAt(3) | 0x27n);
    for (let directory = 0n; directory < 40n; directory++) {
      const [pd, pt] = [0x100_0000n + directory * 0x1000n, 0x200_0000n + directory * 0x1000n];
      machine.put(tableAt(3) + directory * 8n, pd | 0x27n);
      for (const slot of [0n, 511n]) machine.put(pd + slot * 8n, pt | 0x27n);
      for (const slot of [0n, 1n, 511n]) machine.put(pt + slot * 8n, (0x4000_0000n + slot * 0x1000n) | 0x27n);
    }
    const expected = lines(machine, root);
    expect(expected.length).toBeGreaterThan(100);

    for (const maxPages of [1, 5, 16, 4096]) {
      for (const goesOn of [true, false]) {
        const cache = new PageCache({ maxPages });
        let seen: string[] = [];
        let from = 0n;
        for (let rounds = 0; rounds < 1000; rounds++) {
          if (!goesOn) seen = [];
          try {
            for (const range of mappedRanges(machine.paging, cache, root, { from })) {
              seen.push(line(range));
              if (goesOn) from = range.va + BigInt(range.byteLength);
            }
            break;
          } catch (error) {
            for (const pa of (error as PtmonError).facts.missing!) {
              const page = machine.memory.page(Math.floor(pa / 4096));
              cache.put(Math.floor(pa / 4096), page === undefined ? null : new Uint8Array(page.buffer));
            }
          }
        }
        expect(seen).toEqual(expected);
      }
    }
  });

  test('no memory behind a missing table is no reason to stop', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = machine.chain(0n, 3, 0x70_0027n);
    machine.put(tableAt(3) + 8n, 0x71_0027n);
    machine.put(tableAt(3) + 16n, 0x72_0027n);
    const memory: PhysicalMemory = {
      readEntry: (pa, byteLength, out) =>
        pa === 0x70_0000 || pa === 0x72_0000
          ? READ_NOT_FETCHED
          : pa === 0x71_0000
            ? READ_NO_MEMORY
            : machine.memory.readEntry(pa, byteLength, out),
    };
    expect(run(machine, memory, root).missing).toEqual([0x70_0000, 0x72_0000]);
  });
});
