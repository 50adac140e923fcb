/** Compares everything that a monitor can be asked with what the oracle holds, and with fresh walks of memory. */
import type { MonitorDump, WatchState } from '../../src/core/monitor/api.ts';
import type { Walk } from '../../src/core/paging/walk.ts';
import { backed, rightsOf } from './expect-events.ts';
import type { Machine } from './machine.ts';
import { equal, Mismatch, same, text } from './mismatch.ts';
import { frameOf, type NaiveMonitor, type NaiveWalk, referencesOf, tagsOf, type Watched } from './naive-monitor.ts';
import type { Program } from './program.ts';
import type { Subject } from './subject.ts';

const where = ({ view, root, va }: Watched) => `view ${view} root 0x${root.toString(16)} va 0x${va.toString(16)}`;

/**
 * What can be asked at any time, with writes in flight or without.
 *
 * @param told what states must be exact in: page sizes and rights that nobody asked to be told of may be ahead of the events
 */
export function inspectAlways(subject: Subject, oracle: NaiveMonitor, told: Told): void {
  const watched = [...oracle.watched.values()];
  const paged = watched.filter(({ known }) => backed(known)).length;
  if (!oracle.watchesGoneViews()) same('C1', subject.pagedInEntries(), paged, () => 'pagedInEntries');
  for (const one of watched) {
    const state = subject.state({ view: one.view, root: one.root, va: one.va });
    inspectState(state, one, oracle.goneViews.has(one.view) ? undefined : told);
  }
  inspectRuns(subject, watched);
  inspectEntries(subject);
}

const entriesBefore = new WeakMap<Subject, { readonly version: number; readonly entries: Float64Array }>();

/** While `entryVersion` stays, so do the monitored entries. */
function inspectEntries(subject: Subject): void {
  const { entryVersion: version } = subject;
  if (version === undefined || subject.entryAddresses === undefined) return;
  const entries = subject.entryAddresses();
  const before = entriesBefore.get(subject);
  if (before?.version === version) same('C2', [...entries], [...before.entries], () => 'entryAddresses of one version');
  else entriesBefore.set(subject, { version, entries });
}

/** The runs of `backedRuns` are the states of the first bytes of pages. */
function inspectRuns(subject: Subject, watched: readonly Watched[]): void {
  const bySpan = new Map<string, Watched[]>();
  for (const one of watched) {
    if (one.va % 4096n !== 0n) continue;
    // No range goes through the non-canonical addresses.
    const key = `${one.view} ${one.root} ${one.va >> 63n}`;
    bySpan.set(key, [...(bySpan.get(key) ?? []), one]);
  }
  for (const its of bySpan.values()) {
    const sorted = its.toSorted((a, b) => (a.va < b.va ? -1 : 1));
    const { view, root, va } = sorted[0]!;
    const runs = subject.backedRuns({ view, root, va, byteLength: sorted.at(-1)!.va - va + 4096n });
    const got = runs.flatMap(({ va: from, pa, pageSize, pages }) =>
      Array.from({ length: pages }, (_, at) => ({ va: from + BigInt(at * 4096), pa: pa + at * 4096, pageSize })),
    );
    const expected = sorted.flatMap((one) => {
      const { pa, pageSize } = subject.state({ view, root, va: one.va })!;
      return pa === null ? [] : [{ va: one.va, pa, pageSize }];
    });
    same('C1', got, expected, () => `backed runs of view ${view} root 0x${root.toString(16)}`);
  }
}

export interface Told {
  readonly pageSize: boolean;
  readonly rights: boolean;
}

/** What is monitored when no write is in flight: the entries of the present walks, and their tables. */
export function inspectCounts(subject: Subject, oracle: NaiveMonitor): void {
  const entries = new Set([...oracle.entries().values()].flatMap((its) => [...its]));
  same('C2', subject.monitoredTables(), new Set([...entries].map(frameOf)).size, () => 'monitoredTables');
  same('C2', subject.monitoredEntries(), entries.size, () => 'monitoredEntries');
}

/** Whether the state that the monitor holds is that of this walk. */
export function isStateOf(state: WatchState, walk: NaiveWalk, told: Told = EVERYTHING): boolean {
  if (!backed(walk)) return state.pa === null && state.pageSize === null && state.rights === null;
  return (
    state.pa === Number(walk.pa) &&
    (!told.pageSize || state.pageSize === Number(walk.pageSize)) &&
    (!told.rights || equal(state.rights, rightsOf(walk)))
  );
}

const EVERYTHING: Told = { pageSize: true, rights: true };

/** @param told undefined where nothing is sure but references and tags */
function inspectState(state: WatchState | undefined, watched: Watched, told: Told | undefined): void {
  const { known } = watched;
  const what = () => `state of ${where(watched)}`;
  if (state === undefined) throw new Mismatch('R1', `${what()}: undefined, and it is watched`);
  const right =
    state.view === watched.view &&
    BigInt(state.root) === watched.root &&
    state.va === watched.va &&
    (told === undefined || isStateOf(state, known, told));
  if (!right) throw new Mismatch('C1', `${what()}: got ${text(state)}, expected ${text(known)}`);
  same('R1', state.references, referencesOf(watched), () => `references of ${where(watched)}`);
  same('R1', state.tags, tagsOf(watched), () => `tags of ${where(watched)}`);
}

/** Rule C1: what is held true is true. */
export function inspectTruth(machine: Machine, oracle: NaiveMonitor, protects: boolean): void {
  for (const watched of oracle.watched.values()) {
    if (protects && !machine.hasView(watched.view)) continue;
    const fresh = oracle.walk(watched.root, watched.va);
    const [a, e] = [watched.known, fresh].map(answerOf);
    watched.known = fresh;
    same('C1', a, e, () => `nothing is in flight, and what is held of ${where(watched)}`);
  }
}

function answerOf(walk: NaiveWalk): object {
  return backed(walk) ? { pa: walk.pa, pageSize: walk.pageSize, ...rightsOf(walk) } : { pa: null };
}

/** Rule C2: exactly the tables of the present walks are protected. `except`: restorations that failed and were reported. */
export function inspectProtections(
  machine: Machine,
  oracle: NaiveMonitor,
  program: Program,
  except: ReadonlySet<string>,
): void {
  const entries = oracle.entries();
  for (const view of machine.views()) {
    const tables = new Set([...(entries.get(view) ?? [])].map((pa) => Number(frameOf(pa))));
    for (const gfn of new Set([...program.frames, ...tables])) {
      if (except.has(`${view}:${gfn}`)) continue;
      const original = machine.originalAccess(view, gfn);
      const expected = tables.has(gfn) ? original & ~2 : original;
      same('C2', machine.access(view, gfn), expected, () => `access of frame 0x${gfn.toString(16)} in view ${view}`);
    }
  }
}

/** The whole content. `settled`: no write is in flight. */
export function inspectDump(
  { subject, machine, oracle }: { subject: Subject; machine: Machine; oracle: NaiveMonitor },
  source: Program['source'],
  { settled, exact }: { readonly settled: boolean; readonly exact: boolean },
): void {
  const dump = subject.dump();
  const watched = [...oracle.watched.values()];
  const state = ({ view, root, va }: Watched) => subject.state({ view, root, va });
  const singles = watched.filter(({ single }) => single.references > 0);
  same('R3', dump.addresses.length, singles.length, () => 'number of watched addresses in the dump');
  for (const one of singles) {
    const its = dump.addresses.find(
      ({ view, root, va }) => view === one.view && BigInt(root) === one.root && va === one.va,
    );
    if (its === undefined) throw new Mismatch('R3', `the dump misses ${where(one)}`);
    same('R3', its, state(one), () => `the dump's record of ${where(one)}`);
  }
  inOrder(
    'addresses',
    dump.addresses.map(({ view, root, va }) => [view, root, va]),
  );
  inOrder(
    'ranges',
    dump.ranges.map(({ view, root, va }) => [view, root, va]),
  );
  inOrder(
    'tables',
    dump.tables.map(({ view, pa }) => [view, pa]),
  );

  const pages = new Map<string, object>();
  for (const { view, root, va, byteLength, tags, references } of dump.ranges) {
    for (let at = va; at < va + byteLength; at += 4096n) pages.set(`${view} ${root} ${at}`, { tags, references });
  }
  const ranges = watched.filter(({ range }) => range.references > 0);
  same('R2', pages.size, ranges.length, () => 'pages of ranges in the dump');
  for (const one of ranges) {
    const expected = { tags: [...one.range.tags.keys()], references: one.range.references };
    same('R2', pages.get(`${one.view} ${one.root} ${one.va}`), expected, () => `range over ${where(one)}`);
  }

  const onWalks = new Set([...oracle.entries().values()].flatMap((entries) => [...entries]));
  const marked = dump.marks.flatMap(({ vcpu, entries }) => entries.map((pa) => [vcpu, BigInt(pa)] as const));
  for (const [vcpu, pa] of marked) {
    if (oracle.marks.get(vcpu)?.has(pa) !== true)
      throw new Mismatch('R3', `a mark of vCPU ${vcpu} at 0x${pa.toString(16)} remains`);
  }
  for (const [vcpu, its] of exact ? oracle.marks : []) {
    for (const pa of its) {
      if (onWalks.has(pa) && !marked.some(([v, p]) => v === vcpu && p === pa)) {
        throw new Mismatch('C9', `the mark of vCPU ${vcpu} at 0x${pa.toString(16)} is lost`);
      }
    }
  }
  if (settled) inspectTables(dump, machine, oracle, source);
}

function inOrder(what: string, keys: readonly (readonly (number | bigint)[])[]): void {
  for (let i = 1; i < keys.length; i++) {
    const [a, b] = [keys[i - 1]!, keys[i]!];
    const at = a.findIndex((part, index) => part !== b[index]);
    if (at < 0 || a[at]! > b[at]!)
      throw new Mismatch('E7', `${what} of the dump are out of order: ${text(a)}, ${text(b)}`);
  }
}

function inspectTables(dump: MonitorDump, machine: Machine, oracle: NaiveMonitor, source: Program['source']): void {
  const expected = new Map<string, number[]>();
  for (const [view, entries] of oracle.entries()) {
    for (const pa of [...entries].sort((a, b) => (a < b ? -1 : 1))) {
      const key = `${view}:${frameOf(pa)}`;
      expected.set(key, [...(expected.get(key) ?? []), Number(pa % 4096n)]);
    }
  }
  const entryBytes = oracle.entryBytes;
  for (const { view, pa, capturedAccess, slots } of dump.tables) {
    const key = `${view}:${frameOf(BigInt(pa))}`;
    const offsets = slots.map((slot) => (pa % 4096) + slot * entryBytes);
    same('C2', offsets, expected.get(key), () => `monitored slots of table ${key}`);
    expected.delete(key);
    if (source === 'trap' && !machine.hasView(view)) continue;
    const access = source === 'trap' ? machine.originalAccess(view, Number(frameOf(BigInt(pa)))) : null;
    same('C2', capturedAccess, access, () => `captured access of table ${key}`);
  }
  same('C2', [...expected.keys()], [], () => 'tables that the dump misses');
}

/** Rule T8, beside the rules of state: the walk that `explain` shows. */
export function inspectWalk(walk: Walk, expected: NaiveWalk): void {
  const steps = walk.steps.map(({ level, entryPa, value }) => ({ pa: BigInt(entryPa), value, level }));
  same('T8', steps, expected.entries, () => 'entries of a walk');
  if (walk.translates) {
    const { pa, pageSize, rights } = walk;
    if (!backed(expected)) throw new Mismatch('T8', `a walk translates to ${pa}, expected ${text(expected)}`);
    same('T8', [BigInt(pa), BigInt(pageSize)], [expected.pa, expected.pageSize], () => 'address and size of a walk');
    same('T7', rights, rightsOf(expected), () => 'rights of a walk');
  } else {
    if (backed(expected)) throw new Mismatch('T8', `a walk stops (${walk.reason}), expected ${text(expected)}`);
    same('T8', [walk.reason, walk.level], [expected.reason, expected.level], () => 'why and where a walk stops');
  }
}
