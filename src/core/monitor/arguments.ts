/** Argument validation: every call checks these before it touches anything (rule T3). */
import { isPaRange, PAGE_BYTES } from '../address/pa.ts';
import { hex, offsetOf, toU64 } from '../address/va.ts';
import { checkNames, PtmonError } from '../error.ts';
import { canonicalVpn, foldVpn, type Paging } from '../paging/format.ts';
import type { Tag } from '../struct/references.ts';
import type { Address, MonitorOptions, RangeRequest } from './api.ts';
import { OPT_IN_KINDS, type OptInKind } from './events.ts';

const OPTIONS = [
  'memory',
  'protection',
  'paging',
  'kinds',
  'onFault',
  'fastPath',
  'maxRangePages',
] satisfies readonly (keyof MonitorOptions)[];

/** The options of a monitor, all but `paging`, which `makePaging` checks. */
export function checkOptions(options: MonitorOptions): void {
  checkObject(options, 'the options of PageTableMonitor', '{ memory, protection, paging }');
  const { memory, protection, paging, kinds, onFault, fastPath, maxRangePages } = options;
  checkNames('PageTableMonitor', options, OPTIONS);
  checkMethods(memory, 'memory', ['readEntry']);
  if (protection !== undefined) checkMethods(protection, 'protection', ['getAccess', 'setAccess']);
  checkObject(paging, 'paging', "{ mode: '4-level' }");
  checkKinds(kinds);
  if (onFault !== undefined && typeof onFault !== 'function') throw badArgument('onFault', onFault, 'a function');
  if (fastPath !== undefined && typeof fastPath !== 'boolean') throw badArgument('fastPath', fastPath, 'a boolean');
  if (maxRangePages !== undefined && !(Number.isSafeInteger(maxRangePages) && maxRangePages > 0)) {
    throw badArgument('maxRangePages', maxRangePages, 'a positive integer');
  }
}

export function checkKinds(kinds: MonitorOptions['kinds']): void {
  if (kinds === undefined) return;
  if (!Array.isArray(kinds)) throw badArgument('kinds', kinds, `an array of ${OPT_IN_KINDS.join(', ')}`);
  for (const kind of kinds) {
    if (!OPT_IN_KINDS.includes(kind as OptInKind))
      throw badArgument('kinds', kind, `one of ${OPT_IN_KINDS.join(', ')}`);
  }
}

/** What a call is about: an object, whose fields are checked one by one. */
export function checkRequest(request: Address): void {
  if (typeof request !== 'object' || request === null) checkObject(request, 'the request', '{ root, va }');
}

export function checkRuns(runs: boolean | undefined): boolean {
  if (runs === undefined || typeof runs === 'boolean') return runs ?? false;
  throw badArgument('runs', runs, 'a boolean');
}

function checkObject(value: unknown, name: string, example: string): void {
  if (typeof value !== 'object' || value === null) throw badArgument(name, value, `an object: pass ${example}`);
}

function checkMethods(value: object, name: string, methods: readonly string[]): void {
  checkObject(value, name, `an object with ${methods.join(' and ')}`);
  const missing = methods.find((method) => typeof (value as Record<string, unknown>)[method] !== 'function');
  if (missing !== undefined) throw new PtmonError('bad-argument', `${name} has no function ${missing}`);
}

function badArgument(name: string, value: unknown, expected: string): PtmonError {
  return new PtmonError('bad-argument', `${name}: ${String(value)} is not ${expected}`);
}

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

// Marks check these each time. What throws is in functions of its own, so that the compiler inlines the rest into every caller.

export function checkWrite(pa: number, byteLength: number): void {
  if (!isPaRange(pa, byteLength)) throw badWrite(pa, byteLength);
}

export function checkView(view = 0): number {
  if (isIndex(view)) return view;
  throw badIndex('view', view);
}

export function checkVcpu(vcpu: number): void {
  if (!isIndex(vcpu)) throw badIndex('vCPU', vcpu);
}

function isIndex(number: number): boolean {
  return Number.isInteger(number) && number >= 0;
}

function badIndex(name: string, value: number): PtmonError {
  return new PtmonError('bad-argument', `${name} ${String(value)} is not a non-negative integer`);
}

function badWrite(pa: number, byteLength: number): PtmonError {
  if (typeof pa !== 'number')
    return new PtmonError('bad-argument', `physical address ${String(pa)} is a ${typeof pa}: pass a number`);
  const what = `a write of ${byteLength} bytes at ${pa} is not within physical memory (52 bits)`;
  return new PtmonError('bad-argument', what);
}

export function checkTag(tag: Tag | undefined): void {
  if (tag === undefined || typeof tag === 'string' || (typeof tag === 'number' && !Number.isNaN(tag))) return;
  throw new PtmonError('bad-argument', `tag ${String(tag)} is neither a string nor a number other than NaN`);
}
