/**
 * Exact watching on stock QEMU: the guest stops after each write to a monitored entry.
 *
 * At a stop the write is in memory, so it is reported and committed at once. Stops merge when several vCPUs write, and so all
 * that is monitored is compared at each (rule C10); what only that comparison finds is counted.
 */
import { gfnOf } from '../../../core/address/pa.ts';
import { PtmonError } from '../../../core/error.ts';
import type { MemoryRegion } from '../../../driver/snapshot.ts';
import type { PhysicalMemory } from '../../../core/memory/physical-memory.ts';
import type {
  BreakpointAccess,
  Driver,
  EntryTraps,
  RegisterAccess,
  RemoteFetch,
  SourceEvent,
  TakeAtOnce,
} from '../../../driver/driver.ts';
import { GDB_SIGNAL } from '../gdb/reply/stop-reply.ts';
import type { ThreadId } from '../gdb/reply/thread-id.ts';
import { pagingOf } from '../../../driver/paging.ts';
import { retry } from '../../../driver/retry.ts';
import { rootOf } from '../../../core/paging/format.ts';
import { AliasSearch } from './aliases/alias-search.ts';
import { unmappedTable } from './aliases/unmapped-tables.ts';
import type { WriteWatch } from '../gdb/write-watches.ts';
import { EntryWatchpoints } from './watchpoints/entry-watchpoints.ts';
import type { Stop } from './running/stop.ts';
import { GuardedTraps } from './guarded-traps.ts';
import type { WatchpointLimits } from './limits.ts';
import { Batches } from './comparing/batches.ts';
import { Comparisons } from './comparing/comparisons.ts';
import { MissedWrites } from './comparing/missed-writes.ts';
import { VcpuRegisters } from './vcpu-registers.ts';
import type { QemuParts, StopStatistics } from './parts.ts';
import { isAtBreakpoint } from './running/stepping.ts';
import { StopTimes } from './stop-times.ts';
import { UnwatchedRuns, type UnwatchedWork } from './running/unwatched-runs.ts';
import { deferSuspension, releaseWhenSuspended } from '../release/suspension.ts';

/** How often the guest is let run for a moment until a processor is found in its kernel's own address space. */
const SEARCH_ROUNDS = 200;
const SEARCH_STEP_MS = 5;

export class QemuDriver implements Driver {
  readonly name = 'qemu';
  readonly memory: PhysicalMemory;
  readonly remote?: RemoteFetch;
  readonly registers: RegisterAccess;
  readonly traps: EntryTraps;
  /** How many watchpoints there are, and of which form. */
  readonly limits: WatchpointLimits;
  readonly breakpoints: BreakpointAccess;
  /** In a line for people: where the guest's memory is read. */
  readonly memorySource: string;
  readonly #parts: QemuParts;
  readonly #registers: VcpuRegisters;
  readonly #traps: GuardedTraps;
  readonly #watchpoints: EntryWatchpoints;
  readonly #missedWrites: MissedWrites;
  readonly #threads: readonly ThreadId[];
  readonly #aliases: AliasSearch;
  #hasNewAlias = false;
  readonly #comparisons: Comparisons;
  readonly #batches: Batches;
  #hits = 0;
  readonly #times: StopTimes;
  /** What is left to yield of a stop that the consumer was told of at once; undefined where it was not. */
  #rest: readonly SourceEvent[] | undefined;
  readonly #unwatchedRuns: UnwatchedRuns;
  readonly #stop = new AbortController();
  #closed: Promise<void> | undefined;
  #stopListening = () => {};
  #hit: BreakpointAccess['hit'];

  private constructor(parts: QemuParts, threads: readonly ThreadId[]) {
    const { gdb, guestMemory, limits } = parts;
    this.#parts = parts;
    this.#threads = threads;
    this.memory = guestMemory.memory;
    this.memorySource = guestMemory.description;
    if (guestMemory.remote !== undefined) this.remote = guestMemory.remote;
    this.#registers = this.registers = new VcpuRegisters(gdb, threads, parts.physicalAddressBits);
    this.limits = limits;
    this.#times = new StopTimes((stoppedShare) => parts.onNotice?.({ kind: 'slow', stoppedShare }));
    this.#missedWrites = new MissedWrites(guestMemory, (notice) => parts.onMissedWrites?.(notice));
    if (parts.isSampled) this.#missedWrites.giveUp('the debug registers are left to breakpoints');
    this.#aliases = new AliasSearch({
      memory: guestMemory.memory,
      remote: guestMemory.remote,
      registers: this.registers,
      refreshRegisters: () => this.refreshRegisters(),
    });
    this.#watchpoints = new EntryWatchpoints({
      gdb,
      limits,
      aliases: () => this.#aliases.known,
      refresh: () => this.#aliases.search(),
    });
    this.#unwatchedRuns = new UnwatchedRuns(parts, this.#watchpoints);
    this.#comparisons = new Comparisons(threads.length, parts.comparesAtEachStop);
    this.#traps = this.traps = new GuardedTraps({
      watchpoints: this.#watchpoints,
      missedWrites: this.#missedWrites,
      comparisons: this.#comparisons,
      samplesWhatDoesNotFit: parts.samplesWhatDoesNotFit,
    });
    this.#batches = new Batches({
      comparisons: this.#comparisons,
      missedWrites: this.#missedWrites,
      onComparing: (isQuiet) => this.#traps.comparing(isQuiet),
    });
    const hit = () => this.#hit;
    this.breakpoints = {
      set: (addresses) => gdb.setBreakpoints(addresses),
      clear: async (addresses) => void (await gdb.clearBreakpoints(addresses)),
      get hit() {
        return hit();
      },
    };
  }

  async #releaseWhileSuspended(suspended: () => Promise<void>): Promise<void> {
    await this.runUnwatched(suspended);
    this.#parts.onNotice?.({ kind: 'suspended' });
  }

  /** @throws PtmonError as the gdbstub's client, or what the memory throws @internal */
  static async open(parts: QemuParts): Promise<QemuDriver> {
    const driver = new QemuDriver(parts, await parts.gdb.threads());
    try {
      await driver.#searchAliases();
      driver.#stopListening = releaseWhenSuspended({
        release: (suspended) => driver.#releaseWhileSuspended(suspended),
      });
      return driver;
    } catch (error) {
      await driver.close();
      throw error;
    }
  }

  /** Whether no watchpoint stops the guest, from the start or because they were given up. */
  get isSampling(): boolean {
    return this.#missedWrites.isSampling;
  }

  get statistics(): StopStatistics {
    return { ...this.#times.all, hits: this.#hits, watchpoints: this.#watchpoints.count };
  }

  /** The watchpoints that are set. */
  listWatchpoints(): readonly WriteWatch[] {
    return this.#parts.gdb.listWriteWatches();
  }

  async *run(signal?: AbortSignal, takeAtOnce?: TakeAtOnce): AsyncGenerator<readonly SourceEvent[], void, undefined> {
    const { gdb, end } = this.#parts;
    const halt = AbortSignal.any([this.#stop.signal, end.signal, ...(signal === undefined ? [] : [signal])]);
    // Those that were set before the guest runs trap from the first instruction on.
    this.#watchpoints.takeAdded();
    this.#traps.begin();
    this.#times.begin();
    while (!halt.aborted) {
      this.#runs();
      const stop = await this.#next(halt, takeAtOnce);
      this.#stopped();
      if (stop === undefined || end.failure !== undefined) break;
      this.#hit = isAtBreakpoint(stop.reply, gdb) ? await this.#breakpointHitOf(stop) : undefined;
      // Writes at an alias that is not known do not stop the guest.
      if (this.#aliases.isDue(halt.aborted)) {
        await this.#aliases.searchAgain();
        this.#hasNewAlias = this.#watchpoints.forgetMoved();
      }
      const rest = stop.isSure && !this.#hasNewAlias ? this.#rest : undefined;
      yield rest ?? this.#batchOf(stop);
    }
    if (end.failure !== undefined) throw end.failure;
  }

  #runs(now?: number): void {
    this.#rest = undefined;
    this.#times.runs(now);
    this.#parts.guestMemory.clear();
  }

  #stopped(now?: number): void {
    this.#parts.guestMemory.clear();
    this.#times.stopped(now);
  }

  /** Has the consumer take a stop at a watchpoint. Returns when the guest may run on at once; undefined where it may not. */
  #takes(stop: Stop, atMs: number, takeAtOnce: TakeAtOnce): number | undefined {
    if (this.#aliases.isDue(false, atMs)) return undefined;
    this.#stopped(atMs);
    this.#hit = undefined;
    const batch = this.#batchOf(stop);
    const taken = takeAtOnce(batch);
    this.#rest = taken === 'later' ? batch : [];
    const now = performance.now();
    return taken === 'run-on' && this.#parts.control.isFresh(now) && this.#traps.runOn() ? now : undefined;
  }

  /**
   * Lets the guest run with no watchpoint and no breakpoint set while `work` is under way, for a program that is about to be suspended;
   * watches it again afterwards, and reports `missed` with an unknown loss. May be called at any time while the driver is open.
   */
  runUnwatched(work: UnwatchedWork): Promise<void> {
    return this.#unwatchedRuns.request(work);
  }

  /** The next stop; while a call of `runUnwatched` waits, that is done instead. */
  async #next(halt: AbortSignal, takeAtOnce: TakeAtOnce | undefined): Promise<Stop | undefined> {
    await this.#unwatchedRuns.carryOut();
    if (this.#unwatchedRuns.takeMustLook()) return { reply: undefined, isSure: false };
    return this.#unwatchedRuns.during(async () =>
      (await this.#parts.control.isMigrating()) ? this.#standAside(halt) : this.#nextCompared(halt, takeAtOnce),
    );
  }

  /** The next stop that the consumer does not take at once; one of ours, where what is watched is to be compared. */
  async #nextCompared(halt: AbortSignal, takeAtOnce: TakeAtOnce | undefined): Promise<Stop | undefined> {
    const { control } = this.#parts;
    const comparing = this.#missedWrites.watch(() => {
      if (control.isHeld) return;
      this.#batches.expectCheck();
      control.interrupt();
    });
    const owed = this.#comparisons.watchOwed(() => control.isHeld || control.interrupt());
    const runsOn =
      takeAtOnce &&
      ((stop: Stop, atMs: number) => {
        const now = this.#takes(stop, atMs, takeAtOnce);
        if (now === undefined) return false;
        comparing.restart(now);
        owed.restart();
        this.#runs(now);
        return true;
      });
    try {
      return await control.next(halt, { runsOn });
    } finally {
      owed.end();
      comparing.end();
    }
  }

  /** Lets the guest migrate with no watchpoint left, and looks at it when that is over. */
  async #standAside(halt: AbortSignal): Promise<Stop | undefined> {
    await this.#watchpoints.clear();
    const stop = await this.#parts.control.nextAfterMigration(halt);
    return stop && { ...stop, isSure: false };
  }

  /**
   * Where QEMU itself translates an address to, in the address space that a vCPU has loaded; null where nowhere. The guest must
   * be stopped.
   */
  async translateByQemu(va: bigint, vcpu: number): Promise<number | null> {
    const said = await this.#parts.qmp.humanMonitor(`gva2gpa 0x${va.toString(16)}`, { vcpu });
    // Zero is printed without the 0x.
    const found = /^gpa: (?:0x)?([0-9a-f]+)$/.exec(said.trim());
    if (found !== null) return Number(BigInt(`0x${found[1]}`));
    if (said.trim() === 'Unmapped') return null;
    throw new PtmonError('corrupt-input', `${this.#parts.qmp.address}: gva2gpa answered "${said.trim()}"`);
  }

  /**
   * A page table of an address space to which no write can be trapped, because the guest maps it nowhere to write to; undefined where there
   * is none. The guest must be stopped.
   * @param root by default, that of each vCPU
   */
  async unmappedTable(root?: number): Promise<number | undefined> {
    for (let vcpu = 0; vcpu < this.#threads.length; vcpu++) {
      const paging = pagingOf(this.registers, vcpu);
      if (paging === undefined) continue;
      const at = root ?? rootOf(paging, this.registers.readRegisters(vcpu).cr3);
      const { memory, remote } = this;
      const found = await retry(() => unmappedTable(paging, memory, at, this.#aliases.known), { remote });
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** At how many virtual addresses the guest can write to what is at a physical one: each takes a watchpoint of its own. */
  writableAddresses(pa: number): number {
    return this.#aliases.known.find(gfnOf(pa)).length;
  }

  /** Every register of a vCPU, by its name in QEMU's description (`rip`, `rsp`, …). The guest must be stopped. */
  async readAllRegisters(vcpu: number): Promise<ReadonlyMap<string, bigint>> {
    this.registers.readRegisters(vcpu);
    return (await this.#parts.gdb.readRegisters(this.#threads[vcpu])).values;
  }

  /** Where RAM is, ascending. */
  get ram(): readonly MemoryRegion[] {
    return this.#parts.guestMemory.regions;
  }

  /** Writes physical memory; code that QEMU has translated from there is translated anew. The guest must be stopped. */
  async writePhysical(pa: number, bytes: Uint8Array): Promise<void> {
    await this.#parts.gdb.writePhysical(pa, bytes);
    // What is read next at this stop is what was written.
    this.#parts.guestMemory.clear();
  }

  /** `close` leaves the guest stopped, with no watchpoint and no breakpoint. The guest must be stopped. */
  leaveStopped(): void {
    this.#parts.control.leaveStopped();
  }

  /** Stops the guest: `run` yields a stop without a write. */
  interrupt(): void {
    this.#parts.control.interrupt();
  }

  /** Reads the registers of all vCPUs anew: they are as they were at connecting until then. The guest must be stopped. */
  refreshRegisters(): Promise<void> {
    return this.#registers.refresh();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  #batchOf({ reply, isSure }: Stop): SourceEvent[] {
    const watch = reply?.kind === 'stopped' ? reply.watch : undefined;
    const runs = watch === undefined ? [] : this.#watchpoints.runsNear(watch.va);
    this.#missedWrites.stopped(runs.length > 0);
    if (runs.length === 0 || reply?.kind !== 'stopped') return this.#batches.of(undefined, isSure, this.#doubt(isSure));
    this.#hits++;
    return this.#batches.of({ vcpu: this.#vcpuOf(reply.thread), runs }, isSure, this.#doubt(isSure));
  }

  /** A stop by SIGTRAP that no watchpoint explains may be one at a breakpoint: the instruction pointer tells. */
  async #breakpointHitOf({ reply }: Stop): Promise<BreakpointAccess['hit']> {
    const { gdb, control } = this.#parts;
    if (reply?.kind !== 'stopped' || reply.signal !== GDB_SIGNAL.trap || reply.watch !== undefined) return undefined;
    const vcpu = this.#vcpuOf(reply.thread);
    const thread = this.#threads[vcpu]!;
    const { values } = await gdb.readRegisters(thread);
    const va = values.get('rip') ?? values.get('eip');
    if (va === undefined || !gdb.hasBreakpoint(va)) return undefined;
    control.stoppedAtBreakpoint(thread, va);
    return { vcpu, va };
  }

  /**
   * Why changes may have gone unseen since the last stop; undefined where none can have.
   *
   * One vCPU stops at each of its writes. Of several, one that writes to a monitored entry stops at once, and the others run on until they
   * have been stopped, too: two that write the same entry without a lock change it twice between two stops, also with
   * `-accel tcg,thread=single`, where a vCPU ends its turn after the write.
   */
  #doubt(isSure: boolean): string | undefined {
    const [hasAdded, hasNewAlias] = [this.#watchpoints.takeAdded(), this.#hasNewAlias];
    this.#hasNewAlias = false;
    if (!isSure) return 'another client resumed the guest';
    const { unreadable } = this.#parts.guestMemory;
    if (unreadable !== undefined) return unreadable;
    if (hasNewAlias) return 'the guest mapped a page table writable at one more address';
    if (this.#threads.length > 1) return hasAdded ? 'several vCPUs, and a new table' : 'several vCPUs';
    return undefined;
  }

  #vcpuOf(thread: ThreadId | undefined): number {
    const at = this.#threads.findIndex(({ tid }) => tid === thread?.tid);
    return Math.max(0, at);
  }

  /**
   * Finds the kernel's own map of memory. A processor in user mode may show no more of it than the way in (page-table
   * isolation): the guest is then let run until one is found elsewhere, if it ran before.
   */
  async #searchAliases(): Promise<void> {
    const { control, guestMemory, end } = this.#parts;
    for (let round = 0; ; round++) {
      const found = await this.#aliases.search();
      if (found.isComplete || control.isHeld || round === SEARCH_ROUNDS) return;
      guestMemory.clear();
      await control.next(AbortSignal.any([AbortSignal.timeout(1 + (round % SEARCH_STEP_MS)), end.signal]));
      guestMemory.clear();
      if (end.failure !== undefined) throw end.failure;
    }
  }

  async #close(): Promise<void> {
    const { qmp, control, guestMemory } = this.#parts;
    const end = deferSuspension();
    this.#stopListening();
    this.#stop.abort();
    // Each is tried, whatever became of the one before: a guest that is gone cannot be detached from.
    const steps = [() => control.letGo(), () => qmp.close(), () => guestMemory.close()];
    for (const step of steps) await step().catch(() => {});
    end();
  }
}
