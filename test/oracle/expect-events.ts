/** Compares the events of one call with what the oracle says changed (rules E1 to E7), page by page and address by address. */
import type { Cause, MonitorEvent, OptInKind } from '../../src/core/monitor/events.ts';
import { equal, Mismatch, same, text } from './mismatch.ts';
import { type Change, type NaiveWalk, referencesOf } from './naive-monitor.ts';
import type { NaiveTranslation } from './naive-walk.ts';

/** What an event says of one page. */
interface Saying {
  readonly event: MonitorEvent;
  /** Place of the event among those of the call. */
  readonly order: number;
  /** Place of the page within the event's run. */
  readonly page: number;
}

type Kind = MonitorEvent['kind'];

const ACCESSED_DIRTY = 0x60n;
// W, U, XD and the protection key: what effective rights are made of.
const RIGHTS_BITS = 0xf800_0000_0000_0006n;

// W, U, PWT, PCD, A, D and the bits that software may use: whatever they become, an address leads where it led.
const MOVES_NOTHING = 0xe7en;

export const backed = (walk: NaiveWalk | null): walk is NaiveTranslation => walk !== null && 'pa' in walk;

export const rightsOf = ({ writable, user, noExecute, key }: NaiveTranslation) => ({
  writable,
  user,
  noExecute,
  protectionKey: key,
});

export interface Expectation {
  /** Whose writes were processed; null for resync and a root that is gone. */
  readonly vcpu: number | null;
  readonly optIns: readonly OptInKind[];
  /**
   * Whether every entry was last read when its addresses were last brought to the truth. Not where the monitor has had reason
   * to read memory while writes were in flight: then the change that it cites may be one that the entry went through since.
   */
  readonly exact: boolean;
  /** An entry as it is in memory. */
  readonly peek: (pa: bigint) => bigint | undefined;
}

/** The addresses that events speak of. */
export function spokenOf(events: readonly MonitorEvent[]): (change: Change) => boolean {
  const sayings = byAddress(events);
  return ({ watched }) => sayings.has(addressKey(watched));
}

export function expectEvents(
  events: readonly MonitorEvent[],
  changes: readonly Change[],
  expectation: Expectation,
): void {
  const sayings = byAddress(events);
  for (const change of changes) {
    const { watched, before, after } = change;
    const where = () => `view ${watched.view} root 0x${watched.root.toString(16)} va 0x${watched.va.toString(16)}`;
    const said = sayings.get(addressKey(watched)) ?? [];
    sayings.delete(addressKey(watched));

    const kinds = kindsOf(change, expectation.optIns);
    const got = said.map((saying) => saying.event.kind);
    if ([...got].sort().join() !== [...kinds].sort().join()) {
      throw new Mismatch(
        missing(kinds, got),
        `${where()}: said [${got}], expected [${kinds}] of ${text({ before, after })}`,
      );
    }
    for (const saying of said) checkSaying(saying, change, expectation, where);
    checkOrder(said, where);
  }
  for (const said of sayings.values()) {
    throw new Mismatch('E1', `nothing changed, and yet ${text(said.map((saying) => saying.event))}`);
  }
  // Pages that are ahead of their events because of a write in flight are told one by one.
  if (expectation.exact) checkRunsAreMerged(events, changes);
}

function addressKey({
  view,
  root,
  va,
}: {
  readonly view: number;
  readonly root: bigint | number;
  readonly va: bigint;
}): string {
  return `${view} ${root.toString(16)} ${va.toString(16)}`;
}

function byAddress(events: readonly MonitorEvent[]): Map<string, Saying[]> {
  const sayings = new Map<string, Saying[]>();
  events.forEach((event, order) => {
    const pages = 'pages' in event ? event.pages : 1;
    if (!Number.isInteger(pages) || pages < 1) throw new Mismatch('R2', `an event of ${pages} pages`);
    for (let page = 0; page < pages; page++) {
      const key = addressKey({ ...event, va: event.va + BigInt(page) * 4096n });
      sayings.set(key, [...(sayings.get(key) ?? []), { event, order, page }]);
    }
  });
  return sayings;
}

function kindsOf({ before, after }: Change, optIns: readonly OptInKind[]): Kind[] {
  const kinds: Kind[] = [];
  const stays = backed(before) && backed(after) && before.pa === after.pa;
  if (backed(before) && !stays) kinds.push('page-out');
  if (backed(after) && !stays) kinds.push('page-in');
  if (stays && before.pageSize !== after.pageSize && optIns.includes('restructure')) kinds.push('restructure');
  if (stays && !equal(rightsOf(before), rightsOf(after)) && optIns.includes('protection')) kinds.push('protection');
  if (after === null && optIns.includes('root-gone')) kinds.push('root-gone');
  return kinds;
}

function missing(expected: readonly Kind[], got: readonly Kind[]): string {
  if (got.includes('restructure') || got.includes('protection') || expected.some((kind) => !kind.startsWith('page')))
    return 'E6';
  return expected.length > got.length ? 'C1' : 'E1';
}

function checkSaying({ event, page }: Saying, change: Change, expectation: Expectation, where: () => string): void {
  const { watched, before, after } = change;
  const what = () => `${event.kind} of ${where()}`;
  same('E5', event.vcpu, expectation.vcpu, () => `vCPU of ${what()}`);
  if (event.kind !== 'root-gone' && 'pages' in event && event.pages > 1 && !watched.runs.some) {
    throw new Mismatch('R2', `${what()} is merged, and nobody asked`);
  }
  same('E5', event.tags, change.tags, () => `tags of ${what()}`);
  if (after === null) same('E5', event.cause, null, () => `cause of ${what()}`);
  else if (page === 0) checkCause(event, change, expectation, what);

  const shift = BigInt(page) * 4096n;
  if (event.kind === 'page-out' && backed(before)) {
    same('E1', BigInt(event.pa) + shift, before.pa, () => `address of ${what()}`);
    if (expectation.exact) same('E5', event.pageSize, Number(before.pageSize), () => `page size of ${what()}`);
  } else if (event.kind !== 'root-gone' && backed(after)) {
    same('E2', BigInt(event.pa) + shift, after.pa, () => `address of ${what()}`);
    same('E5', event.pageSize, Number(after.pageSize), () => `page size of ${what()}`);
  }
  if (event.kind === 'restructure' && backed(before)) {
    same('E6', event.oldPageSize, Number(before.pageSize), () => `old page size of ${what()}`);
  }
  if (event.kind === 'protection' && backed(before) && backed(after)) {
    same('E6', [event.oldRights, event.newRights], [rightsOf(before), rightsOf(after)], () => `rights of ${what()}`);
  }
}

/**
 * Which entry caused an event is not a matter of taste: two walks from one root are the same down to some entry, and part
 * there. It may be a lower one as well where they meet again, and one that changed rights where rights changed. What the
 * monitor has seen of writes in flight is its own affair.
 */
function checkCause(event: MonitorEvent, change: Change, { exact, peek }: Expectation, what: () => string): void {
  const { before } = change;
  const after = change.after ?? before;
  const meets = (index: number) => before.entries[index]?.pa === after.entries[index]?.pa;
  const apart = before.entries.findIndex((_, index) => !meets(index));
  const parting = (apart < 0 ? before.entries.length : apart) - 1;
  const causes = before.entries.flatMap(({ pa, value, level }, index): Cause[] => {
    const now = peek(pa)!;
    // Accessed and dirty bits change without a trap: they mean nothing, whether they have been seen or not.
    const rights = index < parting ? RIGHTS_BITS : ~ACCESSED_DIRTY;
    const changed = (value ^ now) & (event.kind === 'protection' ? rights : -1n);
    if (!meets(index) || changed === 0n || (index < parting && event.kind !== 'protection')) return [];
    return [{ entryPa: Number(pa) as Cause['entryPa'], level, oldValue: value, newValue: now }];
  });
  const { cause } = event;
  const fits = ({ entryPa, level, oldValue, newValue }: Cause) =>
    cause?.entryPa === entryPa &&
    cause.level === level &&
    cause.newValue === newValue &&
    (cause.oldValue | ACCESSED_DIRTY) === (oldValue | ACCESSED_DIRTY);
  const isPageEvent = event.kind === 'page-in' || event.kind === 'page-out';
  if (cause !== null && isPageEvent && ((cause.oldValue ^ cause.newValue) & ~MOVES_NOTHING) === 0n) {
    throw new Mismatch('E5', `cause of ${what()}: ${text(cause)} changes rights alone`);
  }
  if (cause === null || cause.oldValue === cause.newValue || (exact && !causes.some(fits))) {
    throw new Mismatch('E5', `cause of ${what()}: got ${text(cause)}, expected ${causes.map(text).join(' or ')}`);
  }
}

function checkOrder(said: readonly Saying[], where: () => string): void {
  const out = said.find((saying) => saying.event.kind === 'page-out');
  const next = said.find((saying) => saying.event.kind === 'page-in' || saying.event.kind === 'root-gone');
  if (out === undefined || next === undefined) return;
  if (next.order < out.order) throw new Mismatch('E3', `${where()}: ${next.event.kind} before page-out`);
  const merged = [out, next].some(({ event }) => 'pages' in event && event.pages > 1);
  if (next.event.kind === 'page-in' && !merged && next.order !== out.order + 1)
    throw new Mismatch('E3', `${where()}: other events stand between out and in`);
}

/** Rule R2: neighbouring pages that changed alike are one event, where everybody who watches them asked for runs. */
function checkRunsAreMerged(events: readonly MonitorEvent[], changes: readonly Change[]): void {
  const asked = new Map<string, Change>();
  for (const change of changes) {
    if (change.watched.runs.every && change.watched.single.references === 0)
      asked.set(addressKey(change.watched), change);
  }
  const pageEvents = events.flatMap((event) => (event.kind === 'root-gone' ? [] : [event]));
  const starts = new Map(pageEvents.map((event) => [`${event.kind} ${addressKey(event)}`, event]));
  for (const event of pageEvents) {
    const end = event.va + BigInt(event.pages) * 4096n;
    const next = starts.get(`${event.kind} ${addressKey({ ...event, va: end })}`);
    const [a, b] = [end - 4096n, end].map((va) => asked.get(addressKey({ ...event, va })));
    if (next === undefined || a === undefined || b === undefined) continue;
    const alike =
      goesOn(a.before, b.before) &&
      goesOn(a.after, b.after) &&
      referencesOf(a.watched) === referencesOf(b.watched) &&
      equal(a.tags, b.tags) &&
      event.pageSize === next.pageSize &&
      event.pa + event.pages * 4096 === next.pa &&
      sameChange(event, next) &&
      a.watched.runs.calls === b.watched.runs.calls &&
      sameCause(event.cause, next.cause);
    if (alike) throw new Mismatch('R2', `not merged: ${text(event)} and ${text(next)}`);
  }
}

/** Whether both say the same of sizes and rights. */
function sameChange(a: MonitorEvent, b: MonitorEvent): boolean {
  if (a.kind === 'restructure' && b.kind === 'restructure') return a.oldPageSize === b.oldPageSize;
  if (a.kind !== 'protection' || b.kind !== 'protection') return true;
  return equal(a.oldRights, b.oldRights) && equal(a.newRights, b.newRights);
}

/** Whether the second walk is where the first is, one page later; or neither is anywhere. */
function goesOn(a: NaiveWalk | null, b: NaiveWalk | null): boolean {
  if (!backed(a) || !backed(b)) return backed(a) === backed(b);
  return a.pageSize === b.pageSize && a.pa + 4096n === b.pa;
}

/** One entry above the page tables, or two neighbours in one page table. */
function sameCause(a: Cause | null, b: Cause | null): boolean {
  if (a === null || b === null) return a === b;
  if (a.level !== b.level) return false;
  return a.level > 1 ? a.entryPa === b.entryPa : Math.floor(a.entryPa / 4096) === Math.floor(b.entryPa / 4096);
}
