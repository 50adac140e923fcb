/**
 * Every row of the manual's tables of entry formats, bit by bit. The rows are written here as the manual writes them (Intel
 * SDM vol. 3A, chapter "Paging", tables 4-4 to 4-20; M is MAXPHYADDR) and hold for the oracle as for the walker.
 */
import { describe, expect, test } from 'vitest';
import type { PagingModeName } from '../../../src/core/paging/modes.ts';
import { DEPTH, hex, Machine, pointer, tableAt } from './machine.ts';

interface Row {
  readonly table: string;
  readonly mode: PagingModeName;
  readonly level: number;
  /** What the entry does: point at a table, or map a page of so many bits. */
  readonly maps: 'table' | 12 | 21 | 22 | 30;
  readonly reserved: readonly string[];
}

const SAME_IN_LONG: readonly Omit<Row, 'mode'>[] = [
  { table: '4-15 PML4E', level: 4, maps: 'table', reserved: ['7:7', '51:M', 'XD'] },
  { table: '4-16 PDPTE, 1 GiB', level: 3, maps: 30, reserved: ['29:13', '51:M', 'XD'] },
  { table: '4-17 PDPTE', level: 3, maps: 'table', reserved: ['51:M', 'XD'] },
  { table: '4-18 PDE, 2 MiB', level: 2, maps: 21, reserved: ['20:13', '51:M', 'XD'] },
  { table: '4-19 PDE', level: 2, maps: 'table', reserved: ['51:M', 'XD'] },
  { table: '4-20 PTE', level: 1, maps: 12, reserved: ['51:M', 'XD'] },
];

const ROWS: readonly Row[] = [
  { table: '4-14 PML5E', mode: '5-level', level: 5, maps: 'table', reserved: ['7:7', '51:M', 'XD'] },
  ...SAME_IN_LONG.map((row) => ({ ...row, mode: '5-level' as const })),
  ...SAME_IN_LONG.map((row) => ({ ...row, mode: '4-level' as const })),
  { table: '4-8 PDPTE', mode: 'pae', level: 3, maps: 'table', reserved: ['63:M'] },
  { table: '4-9 PDE, 2 MiB', mode: 'pae', level: 2, maps: 21, reserved: ['20:13', '62:M', 'XD'] },
  { table: '4-10 PDE', mode: 'pae', level: 2, maps: 'table', reserved: ['62:M', 'XD'] },
  { table: '4-11 PTE', mode: 'pae', level: 1, maps: 12, reserved: ['62:M', 'XD'] },
  { table: '4-4 PDE, 4 MiB', mode: '32-bit', level: 2, maps: 22, reserved: ['21:PSE36'] },
  { table: '4-5 PDE', mode: '32-bit', level: 2, maps: 'table', reserved: [] },
  { table: '4-6 PTE', mode: '32-bit', level: 1, maps: 12, reserved: [] },
];

/** '20:13' and the like as a set of bits. XD is reserved where EFER.NXE = 0; PSE36 is min(40, M) - 19. */
function reservedBits(row: Row, M: number, noExecuteEnable: boolean): Set<number> {
  const set = new Set<number>();
  for (const span of row.reserved) {
    const [high, low] =
      span === 'XD' ? [63, noExecuteEnable ? 64 : 63] : span.split(':').map((word) => nameOf(word, M));
    for (let bit = low!; bit <= high!; bit++) set.add(bit);
  }
  return set;
}

const nameOf = (word: string, M: number): number =>
  word === 'M' ? M : word === 'PSE36' ? Math.min(40, M) - 19 : Number(word);

/** An address with a different slot at each level, so that a walk through a wrong one is seen. */
const VA = {
  '5-level': 0xff6a_8765_4321_0abcn,
  '4-level': 0xffff_8765_4321_0abcn,
  pae: 0x8765_4abcn,
  '32-bit': 0x8765_4abcn,
};

/** The entry of a row with no bit set that it does not need. */
function plainEntry(row: Row): bigint {
  if (row.maps === 'table') return tableAt(row.level - 1) | pointer(row.mode, row.level);
  return (0x4000_0000n & ~((1n << BigInt(row.maps)) - 1n)) | (row.maps === 12 ? 0x27n : 0xa7n);
}

describe.each(ROWS)('T4-T6 $mode, table $table', (row) => {
  const width = row.mode === '32-bit' ? 32 : 64;
  const va = VA[row.mode];

  /** Walks a machine in which only this row's entry has `bit` flipped, and says why it does not translate. */
  function stopAfterFlipping(bit: number, physicalAddressBits: number, noExecuteEnable: boolean): string {
    const machine = new Machine({ mode: row.mode, physicalAddressBits, noExecuteEnable });
    const entry = plainEntry(row) ^ (1n << BigInt(bit));
    const root = machine.chain(va, row.level, entry);
    if (row.maps === 'table')
      machine.chain(va, 1, 0x1234_5000n | 0x27n, { [row.level]: entry & ~tableAt(row.level - 1) });
    machine.put(machine.entryPa(row.level, tableAt(row.level), va), entry);
    const answer = machine.walk(root, va);
    if (answer.translates || answer.level !== row.level) return 'goes on';
    return answer.reason;
  }

  test.each([52, 51, 48, 46, 40, 39, 36, 33, 32])('each bit alone, MAXPHYADDR %i', (M) => {
    for (const noExecuteEnable of [true, false]) {
      const reserved = reservedBits(row, M, noExecuteEnable);
      for (let bit = 1; bit < width; bit++) {
        // PS decides which row this is, where it is not reserved.
        if (bit === 7 && row.maps !== 12 && !reserved.has(7)) continue;
        // Bits that are set already in a plain entry would be cleared, and prove nothing.
        if (((plainEntry(row) >> BigInt(bit)) & 1n) === 1n) continue;
        const expected = reserved.has(bit) ? 'reserved-bit' : 'goes on';
        expect(`bit ${bit}: ${stopAfterFlipping(bit, M, noExecuteEnable)}`).toBe(`bit ${bit}: ${expected}`);
      }
    }
  });

  test('P = 0 with every other bit set is absent, not reserved', () => {
    const machine = new Machine({ mode: row.mode, physicalAddressBits: 36, noExecuteEnable: false });
    const root = machine.chain(va, row.level, (1n << BigInt(width)) - 2n);
    expect(machine.walk(root, va)).toMatchObject({ translates: false, reason: 'not-present', level: row.level });
  });

  if (row.maps === 'table') {
    test('the table that it names is read', () => {
      const machine = new Machine({ mode: row.mode });
      const high = row.mode === '32-bit' ? 0xffff_f000n : 0xf_ffff_ffff_f000n;
      const root = machine.chain(va, row.level, high | pointer(row.mode, row.level));
      machine.put(machine.entryPa(row.level - 1, high, va), 0n);
      const answer = machine.walk(root, va);
      expect(answer).toMatchObject({ translates: false, reason: 'not-present', level: row.level - 1 });
      expect(answer.steps).toHaveLength(DEPTH[row.mode] - row.level + 2);
    });
  } else {
    const pageBits = BigInt(row.maps);
    test('the page that it names, with the offset of the address', () => {
      const machine = new Machine({ mode: row.mode });
      const top = row.mode === '32-bit' ? 32n : 52n;
      const frame = ((1n << top) - 1n) & ~((1n << pageBits) - 1n);
      const root = machine.chain(va, row.level, frame | plainEntry(row));
      const offset = va & ((1n << pageBits) - 1n);
      expect(machine.walk(root, va)).toMatchObject({
        translates: true,
        root: Number(root),
        va,
        pa: Number(frame | offset),
        pageSize: Number(1n << pageBits),
      });
    });
  }
});

describe('T5 bit 12 of a large leaf is PAT', () => {
  test.each(ROWS.filter((row) => row.maps !== 'table' && row.maps !== 12))('$mode, table $table', (row) => {
    const machine = new Machine({ mode: row.mode });
    const va = VA[row.mode];
    const before = machine.walk(machine.chain(va, row.level, plainEntry(row)), va);
    const after = machine.walk(machine.chain(va, row.level, plainEntry(row) | 0x1000n), va);
    expect(after.translates).toBe(true);
    expect({ ...after, steps: [] }).toEqual({ ...before, steps: [] });
  });
});

describe('T4 legacy large pages', () => {
  const va = 0xc0de_f123n;

  test.each([
    // MAXPHYADDR, bits 20:13 of the entry, address bits 39:32
    [52, 0xff, 0xff],
    [40, 0xff, 0xff],
    [40, 0x81, 0x81],
    [39, 0x7f, 0x7f],
    [36, 0x0f, 0x0f],
    [33, 0x01, 0x01],
    [32, 0x00, 0x00],
    [39, 0x80, null],
    [36, 0x10, null],
    [33, 0x02, null],
    [32, 0x01, null],
  ])('PSE-36 with MAXPHYADDR %i: bits 20:13 = %i give address bits 39:32 = %s', (physicalAddressBits, low, high) => {
    const machine = new Machine({ mode: '32-bit', physicalAddressBits });
    const root = machine.chain(va, 2, 0xab40_00e7n | (BigInt(low) << 13n));
    const answer = machine.walk(root, va);
    if (high === null) expect(answer).toMatchObject({ translates: false, reason: 'reserved-bit', level: 2 });
    else expect(answer).toMatchObject({ pa: high * 2 ** 32 + 0xab40_0000 + 0x1e_f123, pageSize: 4 << 20 });
  });

  test('CR4.PSE = 0: PS is ignored, and the entry points at a table', () => {
    const machine = new Machine({ mode: '32-bit', pageSizeExtensions: false });
    const root = machine.chain(va, 1, 0x0765_4027n, { 2: 0xa7n });
    expect(machine.walk(root, va)).toMatchObject({ pa: 0x0765_4123, pageSize: 4096 });
    // Bits 21:13 are address bits of that table.
    machine.put(machine.entryPa(2, root, va), 0x003f_e0a7n);
    machine.put(machine.entryPa(1, 0x003f_e000n, va), 0x0987_6027n);
    expect(machine.walk(root, va)).toMatchObject({ pa: 0x0987_6123, pageSize: 4096 });
  });

  test('CR4.PSE does not matter in PAE and in 64-bit mode', () => {
    for (const mode of ['pae', '4-level', '5-level'] as const) {
      const machine = new Machine({ mode, pageSizeExtensions: false });
      const root = machine.chain(va, 2, 0x0760_00e7n);
      expect(machine.walk(root, va)).toMatchObject({ pa: 0x0760_0000 + 0x1e_f123, pageSize: 2 << 20 });
    }
  });
});

describe('T4 processors that differ', () => {
  const va = 0x7654_3210n;

  test.each([
    ['4-level', 4],
    ['5-level', 4],
    ['5-level', 5],
  ] as const)('bit 8 in %s paging at level %i is reserved on AMD, and ignored on Intel', (mode, level) => {
    for (const vendor of ['amd', 'intel'] as const) {
      const machine = new Machine({ mode, vendor });
      const root = machine.chain(va, 1, 0x0765_4027n, { [level]: 0x127n });
      const answer = machine.walk(root, va);
      if (vendor === 'amd') expect(answer).toMatchObject({ translates: false, reason: 'reserved-bit', level });
      else expect(answer).toMatchObject({ pa: 0x0765_4210 });
    }
  });

  test('bit 8 of a PDPTE and of a PDE that points at a table is ignored by both', () => {
    const machine = new Machine({ mode: '4-level', vendor: 'amd' });
    const root = machine.chain(va, 1, 0x0765_4027n, { 2: 0x127n, 3: 0x127n });
    expect(machine.walk(root, va)).toMatchObject({ pa: 0x0765_4210 });
  });

  test.each(['4-level', '5-level'] as const)(
    'without 1 GiB pages, bit 7 of a PDPTE is reserved in %s paging',
    (mode) => {
      for (const gigabytePages of [true, false]) {
        const machine = new Machine({ mode, gigabytePages });
        const answer = machine.walk(machine.chain(va, 3, 0x4000_00e7n), va);
        if (gigabytePages) expect(answer).toMatchObject({ pageSize: 2 ** 30 });
        else expect(answer).toMatchObject({ translates: false, reason: 'reserved-bit', level: 3 });
        // 2 MiB pages are there either way.
        expect(machine.walk(machine.chain(va, 2, 0x0760_00e7n), va)).toMatchObject({ pageSize: 2 ** 21 });
      }
    },
  );

  test('another vendor is refused', () => {
    expect(() => new Machine({ mode: '4-level', vendor: 'via' as never })).toThrow(/vendor "via" is not one of/);
  });
});

describe('T6 memory-encryption bits are neither address nor reserved', () => {
  const va = 0x7654_3210n;

  test.each([
    // Mask, MAXPHYADDR, address bits set in the leaf, address bits of the answer (null: reserved).
    { mask: 1n << 47n, M: 52, set: 1n << 47n, high: 0n },
    { mask: 1n << 47n, M: 47, set: 1n << 47n, high: 0n },
    { mask: 1n << 47n, M: 47, set: (1n << 47n) | (1n << 46n), high: 1n << 46n },
    { mask: 1n << 47n, M: 47, set: (1n << 47n) | (1n << 48n), high: null },
    { mask: 1n << 51n, M: 52, set: 1n << 51n, high: 0n },
    { mask: 1n << 51n, M: 48, set: (1n << 51n) | (1n << 47n), high: 1n << 47n },
    { mask: 1n << 51n, M: 48, set: 1n << 50n, high: null },
    { mask: (1n << 51n) | (1n << 47n), M: 47, set: (1n << 51n) | (1n << 47n), high: 0n },
    { mask: 1n << 32n, M: 40, set: 0xffn << 32n, high: 0xfen << 32n },
    { mask: 0n, M: 48, set: 1n << 47n, high: 1n << 47n },
  ])('case %#: mask $mask, MAXPHYADDR $M, address bits $set', ({ mask, M, set, high }) => {
    for (const mode of ['5-level', '4-level', 'pae'] as const) {
      const machine = new Machine({ mode, physicalAddressBits: M, encryptionMask: mask });
      for (const [level, leaf, offset] of [
        [1, 0x0555_5027n, 0x210n],
        [2, 0x0540_00a7n, va & 0x1f_ffffn],
      ] as const) {
        const answer = machine.walk(machine.chain(va, level, leaf | set), va);
        const at = `${mode} level ${level}: `;
        const expected = high === null ? 'reserved-bit' : hex((leaf & ~0xfffn) | high | offset);
        expect(at + (answer.translates ? hex(answer.pa) : answer.reason)).toBe(at + expected);
      }
    }
  });

  test('in a pointer and in CR3 it does not change which table is read', () => {
    const encryptionMask = 1n << 51n;
    const machine = new Machine({ mode: '4-level', physicalAddressBits: 51, encryptionMask });
    const root = machine.chain(va, 1, 0x27n, {
      4: 0x27n | encryptionMask,
      3: 0x27n | encryptionMask,
      2: 0x27n | encryptionMask,
    });
    expect(machine.walk(root | encryptionMask, va)).toMatchObject({ translates: true, root: Number(root), pa: 0x210 });
  });
});
