/**
 * Effective rights of a walk (rule T7) as one small number: bit 0 writable, bit 1 user, bit 2 no-execute, bits 7:4 the
 * protection key. Writable and user are ANDed over the walk, no-execute is ORed, the key is the leaf's.
 */
import type { LevelFormat } from './format.ts';

/** The rights before any entry has restricted them. */
export const RIGHTS_ALL = 3;
export const RIGHT_WRITABLE = 1;
export const RIGHT_USER = 2;
export const RIGHT_NO_EXECUTE = 4;

/** The rights after an entry of the walk. */
export function restrict(rights: number, format: LevelFormat, lo: number, hi: number): number {
  const allowed = (lo >>> 1) | ~format.rightsMask;
  return (rights & allowed) | (((hi >>> 31) & format.noExecuteMask) << 2);
}

/** The same for the leaf, which adds its protection key. */
export function restrictLeaf(rights: number, format: LevelFormat, lo: number, hi: number): number {
  return restrict(rights, format, lo, hi) | (((hi >>> 27) & format.keyMask) << 4);
}

/** What is left of rights when those of everything below are known, which bring the leaf's protection key. */
export function combine(rights: number, below: number): number {
  return (rights & below & RIGHTS_ALL) | ((rights | below) & RIGHT_NO_EXECUTE) | (below & ~7);
}

/** Effective rights of a translation, in words. */
export interface Rights {
  readonly writable: boolean;
  readonly user: boolean;
  readonly noExecute: boolean;
  /** 0 to 15; 0 where the mode has no protection keys. */
  readonly protectionKey: number;
}

export function packRights({ writable, user, noExecute, protectionKey }: Rights): number {
  const bits = (writable ? RIGHT_WRITABLE : 0) | (user ? RIGHT_USER : 0) | (noExecute ? RIGHT_NO_EXECUTE : 0);
  return bits | (protectionKey << 4);
}

export function rightsOf(rights: number): Rights {
  return {
    writable: (rights & RIGHT_WRITABLE) !== 0,
    user: (rights & RIGHT_USER) !== 0,
    noExecute: (rights & RIGHT_NO_EXECUTE) !== 0,
    protectionKey: rights >>> 4,
  };
}
