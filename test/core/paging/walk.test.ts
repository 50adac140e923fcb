import { describe, expect, test } from 'vitest';
import type { PhysicalMemory } from '../../../src/core/memory/physical-memory.ts';
import { READ_NOT_FETCHED } from '../../../src/core/memory/physical-memory.ts';
import { PtmonError } from '../../../src/core/error.ts';
import { walk } from '../../../src/core/paging/walk.ts';
import { DEPTH, Machine, MODES, tableAt } from './machine.ts';

const va = 0x1234_5678n;

describe('T8 the answer says all of it', () => {
  test('a translation: address, page size, rights, and every entry with its own address', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = machine.chain(va, 1, 0x8000_0000_abcd_e025n | (3n << 59n));
    expect(machine.walk(root, va)).toEqual({
      translates: true,
      root: 0x41000,
      va,
      pa: 0xabcd_e678,
      pageSize: 4096,
      rights: { writable: false, user: true, noExecute: true, protectionKey: 3 },
      steps: [
        { level: 4, table: 'PML4', slot: 0, entryPa: 0x41000, value: 0x31027n },
        { level: 3, table: 'PDPT', slot: 0, entryPa: 0x31000, value: 0x21027n },
        { level: 2, table: 'PD', slot: 0x91, entryPa: 0x21488, value: 0x11027n },
        { level: 1, table: 'PT', slot: 0x145, entryPa: 0x11a28, value: 0x8000_0000_abcd_e025n | (3n << 59n) },
      ],
    });
  });

  test('5-level and legacy tables have their own names and sizes', () => {
    const five = new Machine({ mode: '5-level' });
    const high = 0xff7f_ffff_ffff_f123n;
    expect(five.walk(five.chain(high, 1, 0x9027n), high)).toMatchObject({
      pa: 0x9123,
      steps: [{ table: 'PML5', slot: 383 }, { table: 'PML4' }, { table: 'PDPT' }, { table: 'PD' }, { table: 'PT' }],
    });
    const legacy = new Machine({ mode: '32-bit' });
    expect(legacy.walk(legacy.chain(va, 1, 0x9027n), va)).toMatchObject({
      pa: 0x9678,
      steps: [
        { level: 2, table: 'PD', slot: 0x48, entryPa: 0x21120, value: 0x11027n },
        { level: 1, table: 'PT', slot: 0x345, entryPa: 0x11d14, value: 0x9027n },
      ],
    });
  });

  test.each(MODES)('%s: stops at each level for each reason', (mode) => {
    for (let level = DEPTH[mode]; level >= 1; level--) {
      const steps = DEPTH[mode] - level + 1;
      const absent = new Machine({ mode });
      const root = absent.chain(va, level, 0x8000_0000n - 2n);
      expect(absent.walk(root, va)).toMatchObject({ translates: false, reason: 'not-present', level });
      expect(absent.walk(root, va).steps).toHaveLength(steps);

      const gone = new Machine({ mode });
      gone.chain(va, level, 0x27n);
      gone.memory.removePage(Number(tableAt(level) >> 12n));
      expect(gone.walk(root, va)).toMatchObject({ translates: false, reason: 'no-memory', level });
      expect(gone.walk(root, va).steps).toHaveLength(steps - 1);

      if (mode === '32-bit') continue;
      const reserved = new Machine({ mode, physicalAddressBits: 40 });
      reserved.chain(va, level, 0x27n | (1n << 40n));
      expect(reserved.walk(root, va)).toMatchObject({ translates: false, reason: 'reserved-bit', level });
      expect(reserved.walk(root, va).steps).toHaveLength(steps);
    }
  });

  test('C8 a leaf may map what is no memory: only tables are read', () => {
    const machine = new Machine({ mode: '4-level' });
    expect(machine.walk(machine.chain(va, 1, 0xf_ffff_ffff_f027n), va)).toMatchObject({ pa: 0xf_ffff_ffff_f678 });
  });

  test('C8 a table that names itself ends where the levels end', () => {
    const machine = new Machine({ mode: '5-level' });
    for (let slot = 0n; slot < 512n; slot++) machine.put(0x5000n + slot * 8n, 0x5027n);
    expect(machine.walk(0x5000n, 0xff12_3456_789a_bcden)).toMatchObject({
      translates: true,
      pa: 0x5cde,
      pageSize: 4096,
    });
  });

  test.each(MODES)('C8 %s: what is not fetched is an error that names the entry, at every level', (mode) => {
    const machine = new Machine({ mode });
    const root = machine.chain(va, 1, 0x9027n);
    for (let level = DEPTH[mode]; level >= 1; level--) {
      const entryPa = Number(machine.entryPa(level, tableAt(level), va));
      const memory: PhysicalMemory = {
        readEntry: (pa, byteLength, out) =>
          pa === entryPa ? READ_NOT_FETCHED : machine.memory.readEntry(pa, byteLength, out),
      };
      const attempt = () => walk(machine.paging, memory, root, va);
      expect(attempt).toThrow(PtmonError);
      expect(attempt).toThrow(`entry 0x${entryPa.toString(16)} is not fetched yet`);
      expect(attempt).toThrow(expect.objectContaining({ code: 'not-fetched', facts: { missing: [entryPa] } }));
    }
  });

  test('a failing source is the caller’s to handle: its error passes through', () => {
    const failure = new Error('socket closed');
    const memory: PhysicalMemory = {
      readEntry: () => {
        throw failure;
      },
    };
    expect(() => walk(new Machine({ mode: 'pae' }).paging, memory, 0, 0)).toThrow(failure);
  });
});
