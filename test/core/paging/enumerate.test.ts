import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import { type EnumerateOptions, mappedRanges } from '../../../src/core/paging/enumerate.ts';
import { line, lines, Watched } from './enumerated.ts';
import { hex, Machine, tableAt } from './machine.ts';

const GIB = 1n << 30n;

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

  test.each([8, 32, 96])('a root of which %i slots name itself is read to a bound, and no further', (k) => {
    const machine = new Machine({ mode: '4-level' });
    for (let slot = 0n; slot < k; slot++) machine.put(0x5000n + slot * 8n, 0x5027n);
    const memory = new Watched(machine);
    const read = (options: EnumerateOptions) => {
      for (const range of mappedRanges(machine.paging, memory, 0x5000n, options)) void range;
    };
    expect(() => read({ maxRepeats: 50 })).toThrow(/tables of root 0x5000 lead to each other more than 50 times/);
    expect(memory.reads).toBeLessThan(60 * 512);
    const before = memory.reads;
    if (k === 32) expect(() => read({})).toThrow(/more than 8192 times/);
    expect(memory.reads - before).toBeLessThan(2 ** 23);
  });

  test('a root that names itself in every slot ends', () => {
    const machine = new Machine({ mode: '4-level' });
    for (let slot = 0n; slot < 512n; slot++) machine.put(0x5000n + slot * 8n, 0x5027n);
    let ranges = 0;
    const read = () => {
      for (const range of mappedRanges(machine.paging, machine.memory, 0x5000n)) if (range.pa >= 0) ranges++;
    };
    expect(read).toThrow(/more than 4194304 pages share a frame with their neighbour, here frame 0x5:/);
    expect(ranges).toBeLessThan(2 ** 22 + 2);
  });
});
