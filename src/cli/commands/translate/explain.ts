/** Explains a walk: the flags of each entry, and where it points. Independent of the source of the tables. */
import { PAGE_BYTES, paOf } from '../../../core/address/pa.ts';
import { highWord, lowWord, u64Of } from '../../../core/address/va.ts';
import {
  ENTRY_ABSENT,
  ENTRY_RESERVED,
  ENTRY_TABLE,
  kindOf,
  leafGfn,
  type LevelFormat,
  type Paging,
  tableGfn,
} from '../../../core/paging/format.ts';
import type { Rights } from '../../../core/paging/rights.ts';
import type { WalkStep } from '../../../core/paging/walk.ts';
import { type EntryShape, flagsFor, KEY_SHIFT } from './entry-flags.ts';

/** What an entry points to. */
export type EntryTarget =
  | { readonly kind: 'table'; readonly name: LevelFormat['name']; readonly pa: number }
  | { readonly kind: 'page'; readonly pa: number; readonly byteLength: number };

export interface EntryExplanation {
  /** `PTE`, as in the SDM. */
  readonly name: string;
  readonly step: WalkStep;
  /** The names of its flags: `present`, `read-only`, … */
  readonly flags: readonly string[];
  /** Reserved bits that are set. */
  readonly reservedBits: readonly number[];
  /** Ignored bits that are set. Empty where the entry is not present: then all bits are ignored. */
  readonly ignoredBits: readonly number[];
  /** Null for an entry that does not translate. */
  readonly target: EntryTarget | null;
}

/** The PT's entries are PTEs, and so on: the names of the SDM. */
export function entryName(table: LevelFormat['name']): string {
  return `${table}E`;
}

/** One entry of a walk. */
export function explainEntry(paging: Paging, step: WalkStep): EntryExplanation {
  const format = paging.byLevel[step.level]!;
  const [lo, hi] = [lowWord(step.value), highWord(step.value)];
  const name = entryName(step.table);
  const kind = kindOf(format, lo, hi);
  if (kind === ENTRY_ABSENT) {
    return { name, step, flags: ['not present'], reservedBits: [], ignoredBits: [], target: null };
  }
  const shape = shapeOf(format, lo);
  const reserved = step.value & reservedMask(format, shape);
  const valid = step.value & ~reserved;
  const known = flagsFor(paging, format, shape).filter(({ bit }) => (reserved & (1n << BigInt(bit))) === 0n);
  const key = shape === 'table' || format.keyMask === 0 ? 0n : (valid >> KEY_SHIFT) & 0xfn;
  const flags = known.flatMap(({ bit, set, clear }) => ((valid >> BigInt(bit)) & 1n ? [set] : (clear ?? [])));
  if (key !== 0n) flags.push(`protection key ${key}`);
  if ((valid & paging.encryptionMask) !== 0n) flags.push('encrypted');
  const explained = known.reduce((mask, { bit }) => mask | (1n << BigInt(bit)), addressMask(format, shape));
  return {
    name,
    step,
    flags,
    reservedBits: bitsOf(reserved),
    ignoredBits: bitsOf(valid & ~explained & ~(key << KEY_SHIFT) & ~paging.encryptionMask),
    target:
      kind === ENTRY_RESERVED ? null : kind === ENTRY_TABLE ? tableOf(paging, format, lo, hi) : pageOf(format, lo, hi),
  };
}

/** Effective rights as text. */
export function rightsNames({ writable, user, noExecute, protectionKey }: Rights): string[] {
  return [
    writable ? 'writable' : 'read-only',
    user ? 'user' : 'supervisor',
    noExecute ? 'no-execute' : 'executable',
    ...(protectionKey === 0 ? [] : [`protection key ${protectionKey}`]),
  ];
}

function shapeOf(format: LevelFormat, lo: number): EntryShape {
  if ((lo & format.leafBit) === 0) return 'table';
  return format.level === 1 ? 'page' : 'large';
}

function reservedMask(format: LevelFormat, shape: EntryShape): bigint {
  return shape === 'table'
    ? u64Of(format.tableReservedLo, format.tableReservedHi)
    : u64Of(format.leafReservedLo, format.leafReservedHi);
}

function addressMask(format: LevelFormat, shape: EntryShape): bigint {
  if (shape === 'table') return u64Of(0xfffff000, format.addressHi);
  return u64Of(format.leafAddressLo | (format.pse36 << 13), format.addressHi);
}

function pageOf(format: LevelFormat, lo: number, hi: number): EntryTarget {
  return { kind: 'page', pa: paOf(leafGfn(format, lo, hi)), byteLength: format.slotPages * PAGE_BYTES };
}

function tableOf(paging: Paging, format: LevelFormat, lo: number, hi: number): EntryTarget {
  return { kind: 'table', name: paging.byLevel[format.level - 1]!.name, pa: paOf(tableGfn(format, lo, hi)) };
}

/** The numbers of the bits that are set, the lowest first. */
function bitsOf(value: bigint): number[] {
  const bits: number[] = [];
  // Nearly always there is none.
  for (let bit = 0, rest = value; rest !== 0n; bit++, rest >>= 1n) if ((rest & 1n) !== 0n) bits.push(bit);
  return bits;
}
