/**
 * The oracle of the monitor: what the contract says, as short as it can be said. Every watched page is a record of its own,
 * every step walks again, nothing is shared and nothing is cached.
 */
import type { Tag } from '../../src/core/monitor/events.ts';
import type { NaiveStop, NaiveTranslation } from './naive-walk.ts';

export type NaiveWalk = NaiveTranslation | NaiveStop;

let now = 0;

/** References and their tags (rule R1): those of `monitor`, or those of `monitorRange`. */
export class Ledger {
  references = 0;
  readonly tags = new Map<Tag, number>();
  /** When each tag was given. */
  readonly since = new Map<Tag, number>();

  add(tag?: Tag): void {
    this.references += 1;
    if (tag === undefined) return;
    if (!this.tags.has(tag)) this.since.set(tag, ++now);
    this.tags.set(tag, (this.tags.get(tag) ?? 0) + 1);
  }

  release(tag?: Tag): boolean {
    if (this.references === 0 || (tag !== undefined && !this.tags.has(tag))) return false;
    this.references -= 1;
    if (tag !== undefined) {
      this.tags.set(tag, this.tags.get(tag)! - 1);
      if (this.tags.get(tag) === 0) this.tags.delete(tag);
    }
    if (this.references === 0) this.tags.clear();
    return true;
  }
}

export interface Watched {
  readonly view: number;
  readonly root: bigint;
  readonly va: bigint;
  readonly single: Ledger;
  readonly range: Ledger;
  /** Whether some, or every, range that covers it asked for runs; and which calls those were. */
  runs: { some: boolean; every: boolean; calls: string };
  /** The walk as of the last time that the address was brought to the truth: what was last reported is its end. */
  known: NaiveWalk;
}

/** An address that was brought to the truth, or whose root is gone (`after` null). */
export interface Change {
  readonly watched: Watched;
  readonly tags: readonly Tag[];
  readonly before: NaiveWalk;
  readonly after: NaiveWalk | null;
}

export const PAGE = 4096n;
export const frameOf = (pa: bigint): bigint => pa / PAGE;
/** In the order in which they were given. */
export const tagsOf = ({ single, range }: Watched): Tag[] => {
  const given = [single, range].flatMap(({ tags, since }) =>
    [...tags.keys()].map((tag) => [tag, since.get(tag)!] as const),
  );
  return [...new Set(given.sort((a, b) => a[1] - b[1]).map(([tag]) => tag))];
};
export const referencesOf = ({ single, range }: Watched): number => single.references + range.references;
const keyOf = (view: number, root: bigint, va: bigint): string => `${view} ${root.toString(16)} ${va.toString(16)}`;

/** How a range is retained: with a tag, and with events by runs of pages. */
interface RangeRetention {
  readonly tag: Tag | undefined;
  readonly runs: boolean;
}

export class NaiveMonitor {
  readonly watched = new Map<string, Watched>();
  /** The entries that each vCPU has written to and not processed (rule C4). */
  readonly marks = new Map<number, Set<bigint>>();
  /** Views that exist no longer: nobody reports writes there, and what is held of their addresses is anybody's guess. */
  readonly goneViews = new Set<number>();
  readonly #walk: (root: bigint, va: bigint) => NaiveWalk;
  readonly entryBytes: number;
  #calls = 0;

  constructor(entryBytes: number, walk: (root: bigint, va: bigint) => NaiveWalk) {
    this.entryBytes = entryBytes;
    this.#walk = walk;
  }

  get(view: number, root: bigint, va: bigint): Watched | undefined {
    return this.watched.get(keyOf(view, root, va));
  }

  monitor(view: number, root: bigint, va: bigint, tag?: Tag): void {
    this.#watch(view, root, va).single.add(tag);
  }

  monitorRange(view: number, root: bigint, pages: readonly bigint[], { tag, runs }: RangeRetention): void {
    this.#calls += 1;
    for (const va of pages) {
      const watched = this.#watch(view, root, va);
      const first = watched.range.references === 0;
      const { some, every, calls } = first ? { some: false, every: true, calls: '' } : watched.runs;
      watched.runs = { some: some || runs, every: every && runs, calls: `${calls} ${this.#calls}` };
      watched.range.add(tag);
    }
  }

  unmonitor(view: number, root: bigint, va: bigint, tag?: Tag): boolean {
    const watched = this.get(view, root, va);
    return watched !== undefined && this.#settle(watched, watched.single.release(tag) || watched.range.release(tag));
  }

  unmonitorRange(view: number, root: bigint, pages: readonly bigint[], tag?: Tag): boolean {
    const covered = pages.map((va) => this.get(view, root, va)).filter((watched) => watched !== undefined);
    return covered.map((watched) => this.#settle(watched, watched.range.release(tag))).includes(true);
  }

  unmonitorByForce(view: number, root: bigint, va: bigint): boolean {
    return this.watched.delete(keyOf(view, root, va));
  }

  unmonitorView(view: number): void {
    for (const [key, watched] of this.watched) if (watched.view === view) this.watched.delete(key);
  }

  unmonitorAll(): void {
    this.watched.clear();
  }

  rootGone(root: bigint, view?: number): Change[] {
    const gone = [...this.watched.values()].filter(
      (one) => one.root === root && (view === undefined || one.view === view),
    );
    for (const { view: its, va } of gone) this.watched.delete(keyOf(its, root, va));
    return gone.map((watched) => ({ watched, tags: tagsOf(watched), before: watched.known, after: null }));
  }

  /** Whether addresses are watched in views that are gone. */
  watchesGoneViews(): boolean {
    return [...this.watched.values()].some(({ view }) => this.goneViews.has(view));
  }

  /** The entries that a write touches (rule C5). */
  entriesIn(pa: bigint, byteLength: number): bigint[] {
    const step = BigInt(this.entryBytes);
    const entries: bigint[] = [];
    for (let at = pa - (pa % step); at < pa + BigInt(byteLength); at += step) entries.push(at);
    return entries;
  }

  mark(entries: readonly bigint[], vcpu: number): void {
    this.marks.set(vcpu, new Set([...(this.marks.get(vcpu) ?? []), ...entries]));
  }

  /**
   * Brings the addresses to the truth whose known walk has an entry that the vCPU marked.
   *
   * @param watched only those that have it on their present walk as well, and the entry is one of these
   */
  process(vcpu: number, watched?: ReadonlySet<bigint>): Change[] {
    const marked = this.marks.get(vcpu) ?? new Set();
    this.marks.delete(vcpu);
    return this.#bringToTruth(({ root, va, known }) => {
      const touched = known.entries.filter(({ pa }) => marked.has(pa));
      if (touched.length === 0 || watched === undefined) return touched.length > 0;
      const present = new Set(this.#walk(root, va).entries.map(({ pa }) => pa));
      return touched.some(({ pa }) => watched.has(pa) && present.has(pa));
    });
  }

  /** What bringing every address to the truth would change: nothing is done yet. */
  pending(): Change[] {
    return [...this.watched.values()].map((watched) => {
      return { watched, tags: tagsOf(watched), before: watched.known, after: this.#walk(watched.root, watched.va) };
    });
  }

  /** The monitor has brought this address to the truth. */
  accept({ watched, after }: Change): void {
    if (after !== null) watched.known = after;
  }

  resync(view?: number): Change[] {
    return this.#bringToTruth((watched) => view === undefined || watched.view === view);
  }

  /** The monitored entries, by view. */
  entries(): Map<number, Set<bigint>> {
    const byView = new Map<number, Set<bigint>>();
    for (const { view, known } of this.watched.values()) {
      const entries = byView.get(view) ?? new Set();
      for (const entry of known.entries) entries.add(entry.pa);
      if (known.entries.length > 0) byView.set(view, entries);
    }
    return byView;
  }

  /** A fresh walk of memory. */
  walk(root: bigint, va: bigint): NaiveWalk {
    return this.#walk(root, va);
  }

  #watch(view: number, root: bigint, va: bigint): Watched {
    const old = this.get(view, root, va);
    if (old !== undefined) return old;
    const runs = { some: false, every: true, calls: '' };
    const watched = { view, root, va, single: new Ledger(), range: new Ledger(), runs, known: this.#walk(root, va) };
    this.watched.set(keyOf(view, root, va), watched);
    return watched;
  }

  #settle(watched: Watched, released: boolean): boolean {
    if (referencesOf(watched) === 0) this.watched.delete(keyOf(watched.view, watched.root, watched.va));
    return released;
  }

  #bringToTruth(touched: (watched: Watched) => boolean): Change[] {
    return [...this.watched.values()].filter(touched).map((watched) => {
      const before = watched.known;
      watched.known = this.#walk(watched.root, watched.va);
      return { watched, tags: tagsOf(watched), before, after: watched.known };
    });
  }
}
