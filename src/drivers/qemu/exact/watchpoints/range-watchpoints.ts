/**
 * Watchpoints on physical ranges, wherever the guest can write to them; set and cleared as the ranges change.
 */
import { frameOffsetOf, gfnOf } from '../../../../core/address/pa.ts';
import { PtmonError } from '../../../../core/error.ts';
import type { GdbClient } from '../../gdb/client.ts';
import type { WriteWatch } from '../../gdb/write-watches.ts';
import type { EntryRun } from './entry-runs.ts';
import { refusal, tooMany, type WatchpointLimits } from '../limits.ts';
import type { WritableAliases } from '../aliases/writable-aliases.ts';

export interface RangeWatchpointsOptions {
  readonly gdb: GdbClient;
  readonly limits: WatchpointLimits;
  /** The aliases that are known. */
  readonly aliases: () => WritableAliases;
  /** Looks for aliases again: the guest may map since what it did not map then. */
  readonly refresh: () => Promise<WritableAliases>;
}

/** XSAVE, the widest store of all, writes fewer bytes. */
const WIDEST_STORE = 0xb00n;

interface Watchpoint {
  readonly watch: WriteWatch;
  readonly run: EntryRun;
}

export class RangeWatchpoints {
  readonly #options: RangeWatchpointsOptions;
  #added = false;
  /** Which of them are set is not sure: a call failed half-way. */
  #isUnsure = false;
  /** By virtual address. */
  #set = new Map<bigint, Watchpoint>();
  /** The same by page of the virtual address: none leaves its page. */
  #onPage = new Map<bigint, Watchpoint[]>();

  /** What was found near a watchpoint: most stops are at the same few. */
  readonly #near = new Map<bigint, readonly EntryRun[]>();

  constructor(options: RangeWatchpointsOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#set.size;
  }

  /**
   * What the watchpoint at `va` traps, and what others trap that the same instruction may have written to: QEMU reports one watchpoint of those
   * that an instruction hits. Empty where it is none of these.
   */
  runsNear(va: bigint): readonly EntryRun[] {
    let runs = this.#near.get(va);
    if (runs === undefined) {
      runs = this.#findNear(va);
      this.#near.set(va, runs);
    }
    return runs;
  }

  #findNear(va: bigint): readonly EntryRun[] {
    const hit = this.#set.get(va);
    if (hit === undefined) return [];
    const first = va - WIDEST_STORE;
    const end = va + BigInt(hit.run.byteLength) + WIDEST_STORE;
    const near: EntryRun[] = [];
    for (let page = first >> 12n; page <= (end - 1n) >> 12n; page++) {
      for (const { watch, run } of this.#onPage.get(page) ?? []) {
        const from = max(first - watch.va, 0n);
        const to = min(end - watch.va, BigInt(run.byteLength));
        // The part of it that is within reach: no instruction writes to a page and to the far end of the next.
        if (from < to) near.push({ pa: run.pa + Number(from), byteLength: Number(to - from) });
      }
    }
    return near;
  }

  /** Whether the aliases that are known by now have addresses without a watchpoint, of ranges that are trapped. */
  protected lacksAliases(): boolean {
    const aliases = this.#options.aliases();
    const frames = new Set([...this.#set.values()].map(({ run }) => gfnOf(run.pa)));
    const trapped = new Set([...this.#set.keys()].map((va) => va & ~0xfffn));
    return [...frames].some((gfn) => aliases.find(gfn).some((va) => !trapped.has(va)));
  }

  /** Whether watchpoints have been added since this was last asked: what they trap was not trapped until then. */
  takeAdded(): boolean {
    const added = this.#added;
    this.#added = false;
    return added;
  }

  /**
   * Traps writes to these ranges, none of which leaves its frame, and to nothing else.
   *
   * @throws PtmonError `protect-failed` where one cannot be trapped, or too many would have to be
   */
  async set(runs: readonly EntryRun[]): Promise<void> {
    const wanted = await this.#watchpointsOf(runs);
    const isSet = (va: bigint, { watch }: Watchpoint) => this.#set.get(va)?.watch.byteLength === watch.byteLength;
    const old = [...this.#set].filter(([va, { watch }]) => wanted.get(va)?.watch.byteLength !== watch.byteLength);
    const fresh = [...wanted].filter(([va, watchpoint]) => this.#isUnsure || !isSet(va, watchpoint));
    // The client knows which of them are set should one of these calls fail: the next call then asks for all.
    this.#isUnsure = true;
    this.#keep(new Map([...this.#set, ...wanted]));
    await this.#options.gdb.clearWriteWatches(watchesOf(old));
    const refused = await this.#options.gdb.setWriteWatches(watchesOf(fresh));
    if (refused.length > 0) throw refusal(refused.length, wanted.size);
    this.#isUnsure = false;
    this.#added ||= fresh.length > 0;
    this.#keep(wanted);
  }

  #keep(watchpoints: Map<bigint, Watchpoint>): void {
    this.#set = watchpoints;
    this.#near.clear();
    this.#onPage = new Map();
    for (const watchpoint of watchpoints.values()) {
      const page = watchpoint.watch.va >> 12n;
      const others = this.#onPage.get(page);
      if (others === undefined) this.#onPage.set(page, [watchpoint]);
      else others.push(watchpoint);
    }
  }

  async #watchpointsOf(runs: readonly EntryRun[]): Promise<Map<bigint, Watchpoint>> {
    const { limits } = this.#options;
    let aliases = this.#options.aliases();
    if (runs.some(({ pa }) => aliases.find(gfnOf(pa)).length === 0)) aliases = await this.#options.refresh();
    const wanted = new Map<bigint, Watchpoint>();
    for (const run of runs) {
      const vas = aliases.find(gfnOf(run.pa));
      if (vas.length === 0) throw noAlias(run, aliases.root);
      for (const base of vas) {
        const va = base + BigInt(frameOffsetOf(run.pa));
        // Of two that begin alike the longer one traps what the other does.
        if ((wanted.get(va)?.run.byteLength ?? 0) >= run.byteLength) continue;
        wanted.set(va, { watch: { va, byteLength: run.byteLength }, run });
      }
    }
    if (wanted.size > limits.max) throw tooMany(wanted.size, limits);
    return wanted;
  }
}

function watchesOf(watchpoints: readonly (readonly [bigint, Watchpoint])[]): WriteWatch[] {
  return watchpoints.map(([, { watch }]) => watch);
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function noAlias({ pa }: EntryRun, root: number): PtmonError {
  return new PtmonError(
    'protect-failed',
    `root 0x${root.toString(16)} has no writable mapping of the page table at 0x${(pa - frameOffsetOf(pa)).toString(16)}, ` +
      'so writes to the table cannot be trapped; watch by samples (--mode sample)',
    { entryPa: pa, gfn: gfnOf(pa), root },
  );
}
