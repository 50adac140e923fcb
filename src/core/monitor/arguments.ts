/** Argument validation: every call checks these before it touches anything (rule T3). */
import { isPaRange, PAGE_BYTES } from '../address/pa.ts';
import { hex, offsetOf, toU64 } from '../address/va.ts';
import { PtmonError } from '../error.ts';
import { canonicalVpn, foldVpn, type Paging } from '../paging/format.ts';
import type { Tag } from '../struct/references.ts';
import type { RangeRequest } from './api.ts';

/** The page of an address, numbered as inside an address space (`foldVpn`), and the byte within it. */
export function locate(paging: Paging, va: number | bigint): { page: number; offset: number } {
  const page = foldVpn(paging, canonicalVpn(paging, va));
  return { page, offset: typeof va === 'number' ? va % PAGE_BYTES : offsetOf(va) };
}

/** First and last page that a range touches. */
export function locateRange(paging: Paging, range: RangeRequest): { first: number; last: number } {
  const va = toU64(range.va, 'virtual address');
  const byteLength = toU64(range.byteLength, 'byte length');
  if (byteLength === 0n) throw new PtmonError('bad-argument', `the range at ${hex(va)} has no bytes`, { va });
  const start = canonicalVpn(paging, va);
  if (va + byteLength > 2n ** 64n) {
    throw new PtmonError('bad-argument', `the range of ${byteLength} bytes at ${hex(va)} goes beyond 2^64`, { va });
  }
  const end = canonicalVpn(paging, va + byteLength - 1n);
  const first = foldVpn(paging, start);
  const last = foldVpn(paging, end);
  if (last - first !== end - start) {
    const what = `the range of ${byteLength} bytes at ${hex(va)} crosses the non-canonical hole`;
    throw new PtmonError('non-canonical', what, { va });
  }
  return { first, last };
}

export function checkWrite(pa: number, byteLength: number): void {
  if (typeof pa !== 'number') {
    throw new PtmonError('bad-argument', `physical address ${String(pa)} is a ${typeof pa}: pass a number`);
  }
  if (isPaRange(pa, byteLength)) return;
  throw new PtmonError(
    'bad-argument',
    `a write of ${byteLength} bytes at ${pa} is not within physical memory (52 bits)`,
  );
}

export function checkView(view = 0): number {
  if (Number.isInteger(view) && view >= 0) return view;
  throw new PtmonError('bad-argument', `view ${String(view)} is not a non-negative integer`);
}

export function checkVcpu(vcpu: number): void {
  if (Number.isInteger(vcpu) && vcpu >= 0) return;
  throw new PtmonError('bad-argument', `vCPU ${String(vcpu)} is not a non-negative integer`);
}

export function checkMaxRangePages(pages: number): number {
  if (Number.isSafeInteger(pages) && pages > 0) return pages;
  throw new PtmonError('bad-argument', `maxRangePages ${String(pages)} is not a positive integer`);
}

export function checkTag(tag: Tag | undefined): void {
  if (tag === undefined || typeof tag === 'string' || (typeof tag === 'number' && !Number.isNaN(tag))) return;
  throw new PtmonError('bad-argument', `tag ${String(tag)} is neither a string nor a number other than NaN`);
}
