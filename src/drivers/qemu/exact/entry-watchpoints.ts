/**
 * Watchpoints on the monitored entries, set and cleared as the walks change.
 *
 * Neighbouring entries share a watchpoint: QEMU looks through its list of watchpoints at every slow store and every fill of
 * its TLB, and all entries are compared at a stop anyway.
 */
import { frameOffsetOf, gfnOf } from '../../../core/address/pa.ts';
import { PtmonError } from '../../../core/error.ts';
import type { EntryTraps } from '../../../driver/driver.ts';
import type { GdbClient } from '../gdb/client.ts';
import type { WriteWatch } from '../gdb/write-watches.ts';
import { type EntryRun, entryRuns } from './entry-runs.ts';
import type { WritableAliases } from './writable-aliases.ts';

export const DEFAULT_MAX_WATCHPOINTS = 8192;

/** Equals nothing. */
const UNKNOWN = Float64Array.of(Number.NaN);

export interface EntryWatchpointsOptions {
  readonly gdb: GdbClient;
  readonly maxWatchpoints: number;
  /** The aliases that are known. */
  readonly aliases: () => WritableAliases;
  /** Looks for aliases again: the guest may map since what it did not map then. */
  readonly refresh: () => Promise<WritableAliases>;
}

export class EntryWatchpoints implements EntryTraps {
  readonly #options: EntryWatchpointsOptions;
  #entries = new Float64Array();
  #added = false;
  /** By virtual address: the watchpoint, and the entries behind it. */
  #set = new Map<bigint, { readonly watch: WriteWatch; readonly run: EntryRun }>();

  constructor(options: EntryWatchpointsOptions) {
    this.#options = options;
  }

  /** How many watchpoints are set. */
  get count(): number {
    return this.#set.size;
  }

  /** The entries behind the watchpoint at `va`; undefined where it is none of these. */
  runAt(va: bigint): EntryRun | undefined {
    return this.#set.get(va)?.run;
  }

  /** Whether watchpoints have been added since this was last asked: what they trap was not trapped until then. */
  takeAdded(): boolean {
    const added = this.#added;
    this.#added = false;
    return added;
  }

  async setEntries(entries: Float64Array, entryByteLength: 4 | 8): Promise<void> {
    if (isSame(entries, this.#entries)) return;
    const wanted = await this.#watchpointsOf(entryRuns(entries, entryByteLength));
    const old = [...this.#set].filter(([va, { watch }]) => wanted.get(va)?.watch.byteLength !== watch.byteLength);
    const isUnsure = this.#entries === UNKNOWN;
    const fresh = [...wanted].filter(
      ([va, { watch }]) => isUnsure || this.#set.get(va)?.watch.byteLength !== watch.byteLength,
    );
    // Should one of these calls fail half-way, the client knows which of them are set: the next call then asks for all.
    this.#entries = UNKNOWN;
    this.#set = new Map([...this.#set, ...wanted]);
    await this.#options.gdb.clearWriteWatches(old.map(([, { watch }]) => watch));
    const refused = await this.#options.gdb.setWriteWatches(fresh.map(([, { watch }]) => watch));
    if (refused.length > 0) throw refusal(refused.length, wanted.size);
    this.#added ||= fresh.length > 0;
    this.#set = wanted;
    this.#entries = entries.slice();
  }

  async #watchpointsOf(runs: readonly EntryRun[]) {
    const { maxWatchpoints } = this.#options;
    let aliases = this.#options.aliases();
    if (runs.some(({ pa }) => aliases.find(gfnOf(pa)).length === 0)) aliases = await this.#options.refresh();
    const wanted = new Map<bigint, { watch: WriteWatch; run: EntryRun }>();
    for (const run of runs) {
      const vas = aliases.find(gfnOf(run.pa));
      if (vas.length === 0) throw noAlias(run, aliases.root);
      for (const base of vas) {
        const va = base + BigInt(frameOffsetOf(run.pa));
        wanted.set(va, { watch: { va, byteLength: run.byteLength }, run });
      }
    }
    if (wanted.size > maxWatchpoints) throw tooMany(wanted.size, maxWatchpoints);
    return wanted;
  }
}

function isSame(a: Float64Array, b: Float64Array): boolean {
  return a.length === b.length && a.every((each, index) => each === b[index]);
}

function noAlias({ pa }: EntryRun, root: number): PtmonError {
  return new PtmonError(
    'protect-failed',
    `no writable mapping of the page table at 0x${(pa - frameOffsetOf(pa)).toString(16)} in the address space of root ` +
      `0x${root.toString(16)}, so writes to it cannot be trapped; sample it instead (--mode sample)`,
    { entryPa: pa, gfn: gfnOf(pa), root },
  );
}

function tooMany(count: number, max: number): PtmonError {
  return new PtmonError(
    'protect-failed',
    `${count} watchpoints would be needed, and ${max} are allowed, since each slows the guest down; watch less, allow more ` +
      '(--max-watchpoints), or sample (--mode sample)',
  );
}

function refusal(refused: number, wanted: number): PtmonError {
  return new PtmonError(
    'protect-failed',
    `QEMU refused ${refused} of ${wanted} watchpoints: with KVM there are four; run the guest under TCG (-accel tcg), or sample ` +
      '(--mode sample)',
  );
}
