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

  constructor(options: RangeWatchpointsOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#set.size;
  }

  /** What the watchpoint at `va` traps; undefined where it is none of these. */
  runAt(va: bigint): EntryRun | undefined {
    return this.#set.get(va)?.run;
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
    this.#set = new Map([...this.#set, ...wanted]);
    await this.#options.gdb.clearWriteWatches(watchesOf(old));
    const refused = await this.#options.gdb.setWriteWatches(watchesOf(fresh));
    if (refused.length > 0) throw refusal(refused.length, wanted.size);
    this.#isUnsure = false;
    this.#added ||= fresh.length > 0;
    this.#set = wanted;
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

function noAlias({ pa }: EntryRun, root: number): PtmonError {
  return new PtmonError(
    'protect-failed',
    `no writable mapping of the page table at 0x${(pa - frameOffsetOf(pa)).toString(16)} in the address space of root ` +
      `0x${root.toString(16)}, so writes to it cannot be trapped; sample it instead (--mode sample)`,
    { entryPa: pa, gfn: gfnOf(pa), root },
  );
}
