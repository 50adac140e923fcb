/** The one walker (rules T1, T8): from a root and a virtual address to an answer that says all of it, or why not. */
import { PAGE_BYTES, paOf } from '../address/pa.ts';
import type { Pa, Va } from '../address/types.ts';
import { hex, offsetOf, toU64, u64Of, vpnOf } from '../address/va.ts';
import { PtmonError } from '../error.ts';
import { type PhysicalMemory, READ_NO_MEMORY, READ_NOT_FETCHED } from '../memory/physical-memory.ts';
import {
  ENTRY_ABSENT,
  ENTRY_LEAF,
  ENTRY_RESERVED,
  isCanonical,
  kindOf,
  leafGfn,
  type LevelFormat,
  type Paging,
  rootOf,
  slotOf,
  tableGfn,
} from './format.ts';
import { RIGHTS_ALL, type Rights, restrict, restrictLeaf, rightsOf } from './rights.ts';

/** Why a walk ends without a translation. */
export type StopReason = 'not-present' | 'reserved-bit' | 'no-memory' | 'non-canonical';

/** One entry that a walk read. */
export interface WalkStep {
  /** 1 (PT) to 5 (PML5). */
  readonly level: number;
  readonly table: LevelFormat['name'];
  readonly slot: number;
  /** Physical address of the entry. */
  readonly entryPa: Pa;
  /** Its value: 64 bits, or 32 in legacy paging. */
  readonly value: bigint;
}

export interface Translation {
  readonly translates: true;
  readonly root: Pa;
  readonly va: Va;
  /** Exact: the offset of `va` is in it. */
  readonly pa: Pa;
  /** Bytes that the leaf maps. */
  readonly pageSize: number;
  readonly rights: Rights;
  /** Every entry of the walk, root first. */
  readonly steps: readonly WalkStep[];
}

export interface NoTranslation {
  readonly translates: false;
  readonly root: Pa;
  readonly va: Va;
  readonly reason: StopReason;
  /** Level of the table whose entry ends the walk, or that is not in memory; null for a non-canonical address. */
  readonly level: number | null;
  /** Every entry that could be read, root first; the last one is the one that does not translate, unless `no-memory`. */
  readonly steps: readonly WalkStep[];
}

export type Walk = Translation | NoTranslation;

const entry = new Uint32Array(2);

/**
 * Translates one address by reading the tables.
 *
 * @param root a CR3 value; the bits that are not the root's address are ignored (rule T2)
 * @throws PtmonError `not-fetched` where remote memory must be fetched first
 */
export function walk(paging: Paging, memory: PhysicalMemory, root: bigint | number, va: bigint | number): Walk {
  const address = toU64(va, 'virtual address');
  const vpn = vpnOf(address);
  const rootPa = rootOf(paging, root);
  const steps: WalkStep[] = [];
  const stop = (reason: StopReason, level: number | null): NoTranslation => ({
    translates: false,
    root: rootPa,
    va: address,
    reason,
    level,
    steps,
  });
  if (!isCanonical(paging, vpn)) return stop('non-canonical', null);

  let tablePa: number = rootPa;
  let rights = RIGHTS_ALL;
  for (const format of paging.levels) {
    const slot = slotOf(format, vpn);
    const entryPa = (tablePa + slot * paging.mode.entryBytes) as Pa;
    const outcome = memory.readEntry(entryPa, paging.mode.entryBytes, entry);
    if (outcome === READ_NOT_FETCHED) {
      throw new PtmonError('not-fetched', `entry ${hex(entryPa)} is not fetched yet`, { missing: [entryPa] });
    }
    if (outcome === READ_NO_MEMORY) return stop('no-memory', format.level);

    const lo = entry[0]!;
    const hi = entry[1]!;
    steps.push({ level: format.level, table: format.name, slot, entryPa, value: u64Of(lo, hi) });
    const kind = kindOf(format, lo, hi);
    if (kind === ENTRY_ABSENT) return stop('not-present', format.level);
    if (kind === ENTRY_RESERVED) return stop('reserved-bit', format.level);
    if (kind === ENTRY_LEAF) {
      const gfn = leafGfn(format, lo, hi) + (vpn % format.slotPages);
      return {
        translates: true,
        root: rootPa,
        va: address,
        pa: paOf(gfn, offsetOf(address)),
        pageSize: format.slotPages * PAGE_BYTES,
        rights: rightsOf(restrictLeaf(rights, format, lo, hi)),
        steps,
      };
    }
    rights = restrict(rights, format, lo, hi);
    tablePa = paOf(tableGfn(format, lo, hi));
  }
  throw new Error('unreachable: the last level has leaves only');
}
