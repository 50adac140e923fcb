import { describe, expect, test } from 'vitest';
import { makePaging, slotOf } from '../../../src/core/paging/format.ts';
import type { PagingModeName } from '../../../src/core/paging/modes.ts';
import { walk } from '../../../src/core/paging/walk.ts';
import {
  FAULT_PRESENT,
  FAULT_RESERVED,
  FOR_EXECUTE,
  FOR_USER,
  FOR_WRITE,
  Machine,
} from '../../../src/testing/index.ts';
import { registersFor } from '../../../src/testing/machine/registers.ts';

const MODES: readonly PagingModeName[] = ['4-level', '5-level', 'pae', '32-bit'];
const VPN = 0x12345;
const LEAF_GFN = 0x777;
const ALL = 0x7n;
const NX = 1n << 63n;

interface Built {
  readonly machine: Machine;
  /** Physical addresses of the entries on the walk, by level: `at[1]` is the PTE's. */
  readonly at: readonly number[];
  entry(level: number): bigint;
}

/** Tables in frames 0x10, 0x11, … for page VPN, the root first; entries have the flags given, or all of them. */
function build(mode: PagingModeName, flags: Readonly<Record<number, bigint>> = {}, leafLevel = 1): Built {
  const machine = new Machine({ mode, memoryFrames: 0x80 });
  const { levels, mode: pagingMode } = makePaging({ mode });
  const bytes = pagingMode.entryBytes;
  const at: number[] = [];
  let gfn = 0x10;
  for (const format of levels) {
    if (format.level < leafLevel) break;
    const pa = gfn * 4096 + slotOf(format, VPN) * bytes;
    const leaf = format.level === leafLevel;
    const next = leaf ? (leafLevel === 1 ? LEAF_GFN : 0x400) : ++gfn;
    const given = flags[format.level] ?? (format.rightsMask === 0 ? 1n : ALL);
    const value = (BigInt(next) << 12n) | given | (leaf && leafLevel > 1 ? 0x80n : 0n);
    write(machine, pa, bytes, value);
    at[format.level] = pa;
  }
  machine.vcpu(0).load(registersFor(mode, 0x10000n));
  return { machine, at, entry: (level) => read(machine, at[level]!, bytes) };
}

function write(machine: Machine, pa: number, bytes: 4 | 8, value: bigint): void {
  const high = bytes === 8 ? Number(value >> 32n) : undefined;
  machine.writeEntry(0, pa, Number(value & 0xffffffffn), high);
}

function read(machine: Machine, pa: number, bytes: 4 | 8): bigint {
  const page = machine.page(Math.floor(pa / 4096))!;
  const word = (pa % 4096) / 4;
  return bytes === 4 ? BigInt(page[word]!) : BigInt(page[word]!) | (BigInt(page[word + 1]!) << 32n);
}

describe.each(MODES)('the MMU in %s', (mode) => {
  const levels = makePaging({ mode }).levels.length;

  test('finds the frame, and sets accessed on the way and dirty for a write, without a trap', () => {
    const { machine, entry } = build(mode);
    for (let gfn = 0x10; gfn < 0x20; gfn++) machine.views.setAccess(0, gfn, 0);
    expect(machine.translate(0, VPN, FOR_USER)).toBe(LEAF_GFN);
    for (let level = 1; level <= levels; level++) {
      expect(entry(level) & 0x60n, `level ${level}`).toBe(0x20n);
    }
    expect(machine.translate(0, VPN, FOR_USER | FOR_WRITE)).toBe(LEAF_GFN);
    expect(entry(1) & 0x60n).toBe(0x60n);
    expect(entry(2) & 0x40n).toBe(0n);
    expect(machine.takeEvents()).toEqual([]);
  });

  test('agrees with the walker for each page of a large leaf', () => {
    const { machine } = build(mode, {}, 2);
    const { slotPages } = makePaging({ mode }).byLevel[2]!;
    const base = VPN - (VPN % slotPages);
    for (const page of [0, 1, slotPages - 1]) {
      const found = walk(makePaging({ mode }), machine.memory, 0x10000, BigInt(base + page) << 12n);
      expect(found).toMatchObject({ translates: true, pageSize: slotPages * 4096 });
      expect(machine.translate(0, base + page, 0)).toBe(0x400 + page);
      expect(found.translates && found.pa / 4096).toBe(0x400 + page);
    }
  });

  test.each([
    ['user, where some entry is the supervisor’s', FOR_USER, 0x3n, true],
    ['supervisor, where some entry is the supervisor’s', 0, 0x3n, false],
    ['write by a user, where some entry is read-only', FOR_USER | FOR_WRITE, 0x5n, true],
    ['write by the supervisor, where some entry is read-only', FOR_WRITE, 0x5n, true],
    ['read by a user, where some entry is read-only', FOR_USER, 0x5n, false],
  ])('rights are those of all entries together: %s', (_, access, flags, faults) => {
    for (let level = 1; level <= levels; level++) {
      if (mode === 'pae' && level === 3) continue;
      const { machine, entry } = build(mode, { [level]: flags });
      const expected = faults ? { vector: 14, vpn: VPN, errorCode: access | FAULT_PRESENT } : LEAF_GFN;
      expect(machine.translate(0, VPN, access), `level ${level}`).toEqual(expected);
      expect(entry(1) & 0x60n, `level ${level}`).toBe(faults ? 0n : access & FOR_WRITE ? 0x60n : 0x20n);
    }
  });

  test('without CR0.WP the supervisor may write what is read-only', () => {
    const { machine, entry } = build(mode, { 1: 0x5n });
    const { cr0, ...rest } = registersFor(mode, 0x10000n);
    machine.vcpu(0).load({ ...rest, cr0: cr0 & ~0x10000n });
    expect(machine.translate(0, VPN, FOR_WRITE)).toBe(LEAF_GFN);
    expect(entry(1) & 0x40n).toBe(0x40n);
    expect(machine.translate(0, VPN, FOR_WRITE | FOR_USER)).toMatchObject({ errorCode: 7 });
  });

  test('an absent entry is a fault that says so, at any level', () => {
    for (let level = 1; level <= levels; level++) {
      const { machine } = build(mode, { [level]: 0n });
      for (const access of [0, FOR_USER, FOR_WRITE, FOR_USER | FOR_WRITE | FOR_EXECUTE]) {
        expect(machine.translate(0, VPN, access)).toEqual({ vector: 14, vpn: VPN, errorCode: access });
      }
    }
  });

  test('a table outside RAM is read as ones', () => {
    const { machine, at } = build(mode);
    write(machine, at[2]!, mode === '32-bit' ? 4 : 8, 0xabcdef007n);
    const errorCode = FAULT_PRESENT | FAULT_RESERVED;
    expect(machine.translate(0, VPN, 0)).toEqual({ vector: 14, vpn: VPN, errorCode });
  });

  test.runIf(mode !== '32-bit')('no-execute and reserved bits', () => {
    const { machine, at } = build(mode, { 1: ALL | NX });
    expect(machine.translate(0, VPN, FOR_USER)).toBe(LEAF_GFN);
    expect(machine.translate(0, VPN, FOR_USER | FOR_EXECUTE)).toEqual({ vector: 14, vpn: VPN, errorCode: 0x15 });
    const { efer, ...rest } = registersFor(mode, 0x10000n);
    machine.vcpu(0).load({ ...rest, efer: efer & ~0x800n });
    expect(machine.translate(0, VPN, FOR_USER)).toEqual({ vector: 14, vpn: VPN, errorCode: 0xd });
    write(machine, at[1]!, 8, ALL);
    expect(machine.translate(0, VPN, FOR_USER | FOR_EXECUTE)).toBe(0);
  });

  test('with paging off every address is physical', () => {
    const { machine } = build(mode);
    machine.vcpu(0).reset();
    expect(machine.translate(0, VPN, FOR_WRITE)).toBe(VPN);
  });
});

test.each(['4-level', '5-level'] as const)(
  'an address that is not canonical in %s is a general protection fault',
  (mode) => {
    const { machine } = build(mode);
    const { lowEnd, highStart } = makePaging({ mode });
    for (const vpn of [lowEnd, highStart - 1]) {
      expect(machine.translate(0, vpn, FOR_USER)).toEqual({ vector: 13, vpn, errorCode: 0 });
    }
    expect(machine.translate(0, lowEnd - 1, 0)).toMatchObject({ vector: 14 });
  },
);
