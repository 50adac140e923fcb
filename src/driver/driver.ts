/**
 * The driver contract: what a source of guest memory and of page-table writes can do. Capabilities and nothing else; a
 * driver knows nothing of the monitor.
 *
 * A source is *pulled*: the guest is stopped from the moment `run` yields until it is asked for the next batch, so whatever
 * the consumer does in between (monitor, unmonitor, read, protect) happens at one instant of the guest's life, and a slow
 * consumer slows the guest instead of losing its events.
 */
import type { PageProtection } from '../core/memory/page-access.ts';
import type { PhysicalMemory } from '../core/memory/physical-memory.ts';

/** A vCPU is about to write to a table: the write is in flight until that vCPU's `commit`. */
export interface WriteEvent {
  readonly kind: 'write';
  readonly vcpu: number;
  readonly view: number;
  /** First byte written. */
  readonly pa: number;
  readonly byteLength: number;
}

/** Every write that this vCPU has in flight is now in memory. */
export interface CommitEvent {
  readonly kind: 'commit';
  readonly vcpu: number;
}

/** Tables may have changed without a `write`: compare everything that is monitored. */
export interface MissedEvent {
  readonly kind: 'missed';
  /** Human-readable: `sampled`, `reset`, `dma`, … */
  readonly reason: string;
  /** How many changes went unseen, where the source knows; null where nobody can. */
  readonly lost: number | null;
  /**
   * The comparison should find nothing, since the source reports each write. Where it finds changes all the same, the source misses
   * writes, so how many were lost is unknown; the session reports that to `EntryTraps.missed`.
   */
  readonly isCheck?: boolean;
  /** `above`: only the entries above the page tables need comparing now. To compare everything is right, too. Default: everything. */
  readonly scope?: 'above';
  /**
   * The only frames that may have been written since the last comparison (`Driver.proof`): no other entry needs comparing. Where none of
   * them is a table on a watched walk, nothing was lost, whatever `lost` says.
   */
  readonly writtenFrames?: readonly number[];
}

/** The top-level table at `root` is no longer one: its process is gone. */
export interface RootGoneEvent {
  readonly kind: 'root-gone';
  readonly root: number;
}

export type SourceEvent = WriteEvent | CommitEvent | MissedEvent | RootGoneEvent;

/**
 * Takes a batch in the turn of the event loop in which the guest stopped, before `run` yields it.
 *
 * @returns `later`: it is to be yielded, as nobody had handed it over. `processed`: it is done with, but before the guest runs on something else
 *   is to be done: an empty batch is to be yielded. `run-on`: the guest may run on, with the same entries trapped
 */
export type TakeAtOnce = (batch: readonly SourceEvent[]) => 'later' | 'processed' | 'run-on';

/** The control registers that paging depends on (Intel SDM vol. 3, 4.1). 64-bit values. */
export interface PagingRegisters {
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
}

export interface RegisterAccess {
  readonly vcpuCount: number;
  /** MAXPHYADDR, where the source knows it: CPUID 80000008H:EAX[7:0]. */
  readonly physicalAddressBits?: number;
  /** @throws PtmonError `bad-argument` for a vCPU that does not exist */
  readRegisters(vcpu: number): PagingRegisters;
}

/** Memory that is not on this host: pages are fetched before they are read. */
export interface RemoteFetch {
  /** Makes the frames that hold these physical addresses readable until the guest runs on. */
  fetch(addresses: readonly number[], signal?: AbortSignal): Promise<void>;
}

/** What a session reads tables through, so that the source knows which of them were written (`MissedEvent.writtenFrames`). */
export interface WriteProof {
  /** Returns "not fetched" for a frame until `remote` has fetched it. */
  readonly memory: PhysicalMemory;
  /** Has writes to frames noted before anything in them is read (rule C3). */
  readonly remote: RemoteFetch;
}

/**
 * Traps on single entries, for sources that can trap nothing larger at a bearable cost (watchpoints). A source that has it
 * reports writes after they are in memory, and only those to entries that it was told of.
 */
export interface EntryTraps {
  /**
   * How many entries can be trapped at once; absent where that is not known before. Where a walk has more levels than this, entries of
   * top-level tables are not trapped, only compared.
   */
  readonly maxEntries?: number;
  /**
   * Traps writes to these entries, and to no others that it was told of before. Called while the guest is stopped, each time
   * before it runs on; done when the promise is.
   *
   * @param entries physical addresses, in any order, some perhaps more than once; the same array only where nothing has changed. Words of a system's that a caller wants to
   *   hear of may be among them (`SystemLayer` of the session)
   * @param entryByteLength 8, or 4 in legacy 32-bit paging
   * @param untrapped entries that are monitored and only compared (`maxEntries`)
   * @throws PtmonError `protect-failed` where an entry cannot be trapped, or too many would have to be
   */
  setEntries(entries: Float64Array, entryByteLength: 4 | 8, untrapped?: Float64Array): Promise<void>;
  /** A comparison that should have found nothing (`MissedEvent.isCheck`) has found so many events. */
  missed?(events: number): void;
}

/** Stops at instructions, in all address spaces. */
export interface BreakpointAccess {
  /** Sets breakpoints at virtual addresses, while the guest is stopped. @returns those that the source refused */
  set(addresses: readonly bigint[]): Promise<readonly bigint[]>;
  /** Clears them, while the guest is stopped. Those that are not set are passed over. */
  clear(addresses: readonly bigint[]): Promise<void>;
  /** Where the guest is stopped at a breakpoint: the vCPU that is about to run its instruction, and where. It runs it when the guest runs on. */
  readonly hit: { readonly vcpu: number; readonly va: bigint } | undefined;
}

/** A source. What it cannot do is absent, so asking is `if (driver.protection)`. */
export interface Driver {
  /** What it is, for messages: `sim`, `qemu`, … */
  readonly name: string;
  readonly memory: PhysicalMemory;
  readonly protection?: PageProtection;
  readonly traps?: EntryTraps;
  readonly registers?: RegisterAccess;
  readonly remote?: RemoteFetch;
  readonly breakpoints?: BreakpointAccess;
  /** Where the source is sampled, and knows which tables were written meanwhile. */
  readonly proof?: WriteProof | undefined;
  /**
   * The guest runs before, between and after the batches of `run`, each of which is one look at it. Without any, what was watched has
   * never been compared: how many changes went unseen is unknown then.
   */
  readonly isSampled?: boolean;
  /** The comparison that a `missed` event asks for is done, and has found so many events. */
  compared?(events: number): void;
  /**
   * Lets the guest run and yields what happens, in order, the guest stopped after each batch. Ends when the guest ends
   * or `signal` is aborted; throws PtmonError `source-unavailable` when the source is lost.
   *
   * @param takeAtOnce may be handed batches while the guest is stopped. A source need not do so: it is for those that stop some thousand times a
   *   second, where a promise takes longer than all else
   */
  run(signal?: AbortSignal, takeAtOnce?: TakeAtOnce): AsyncIterable<readonly SourceEvent[]>;
  /** Frees what the source holds and detaches from the guest. Never throws, and may be called again. */
  close(): Promise<void>;
}
