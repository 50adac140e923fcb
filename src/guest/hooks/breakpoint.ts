/**
 * Breakpoints that survive paging: pending while their page is absent, armed when it comes, disarmed when it goes, and hit in their own
 * address space only.
 */
import { isUint8Array } from 'node:util/types';
import { hex, toU64 } from '../../core/address/va.ts';
import { rootOf } from '../../core/paging/format.ts';
import { PtmonError } from '../../core/error.ts';
import type { Walk } from '../../core/paging/walk.ts';
import type { VirtualMemory } from '../memory/virtual-memory.ts';
import type { LiveSession, StopHandler } from '../session/live-session.ts';
import { callHandler, checkHandler, type HandlerOptions, Handling } from './handler.ts';
import { isBacked, WatchedPage } from './watched-page.ts';

/** Whose breakpoint it is. */
export interface ProcessName {
  readonly pid: number;
  /** What /proc/PID/comm says: at most 15 bytes. */
  readonly comm: string;
}

/** A vCPU that is about to run the instruction of a breakpoint. The guest is stopped until the handler has finished. */
export interface BreakpointHit {
  readonly va: bigint;
  readonly vcpu: number;
  /** The process that the breakpoint belongs to; undefined for one of the kernel's, hit in any. */
  readonly process: ProcessName | undefined;
  /** Physical address of the top-level table that the vCPU has loaded. */
  readonly root: number;
  /** By QEMU's names: `rip`, `rsp`, `rdi`, … */
  readonly registers: ReadonlyMap<string, bigint>;
  /** The memory that the vCPU sees: through the tables that it has loaded. Refused once the handler has ended or its time is up. */
  readonly memory: VirtualMemory;
  /** Writes bytes, all of which must be mapped. @throws PtmonError `read-failed` naming the first address that is not */
  write(va: bigint, bytes: Uint8Array): Promise<void>;
}

export type BreakpointHandler = (hit: BreakpointHit) => Promise<void> | void;

export type BreakpointOptions = HandlerOptions;

interface BreakpointRequest {
  readonly va: bigint;
  readonly handler: BreakpointHandler;
  readonly options: BreakpointOptions;
}

/** One handler at one address of one address space, or of all of them. */
export class Breakpoint implements AsyncDisposable {
  readonly va: bigint;
  readonly process: ProcessName | undefined;
  readonly #set: BreakpointSet;
  readonly #handler: BreakpointHandler;
  readonly #options: BreakpointOptions;
  #state: 'pending' | 'armed' | 'removed' = 'pending';
  #hits = 0;
  /** Top-level tables under which it is hit; undefined for all. @internal */
  roots: ReadonlySet<number> | undefined;
  /** What tells of its page; undefined where that is always there. @internal */
  page: WatchedPage | undefined;

  /** @internal */
  constructor(set: BreakpointSet, { va, handler, options }: BreakpointRequest, process?: ProcessName) {
    checkHandler(handler, options);
    this.#set = set;
    this.va = toU64(va, 'virtual address');
    this.process = process;
    this.#handler = handler;
    this.#options = options;
  }

  /** `pending` while its page is absent; `removed` once it was removed or its process has ended. */
  get state(): 'pending' | 'armed' | 'removed' {
    return this.#state;
  }

  /** How often it was hit. */
  get hits(): number {
    return this.#hits;
  }

  /** Removes it. Does nothing after the first time. */
  remove(): Promise<void> {
    return this.#set.remove(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.remove();
  }

  /** @internal */
  become(state: 'pending' | 'armed' | 'removed'): void {
    if (this.#state !== 'removed') this.#state = state;
  }

  /** Runs the handler. Never throws. @internal */
  async run(hit: BreakpointHit, released: AbortSignal): Promise<void> {
    this.#hits++;
    const options = { ...this.#options, released };
    await callHandler(`the handler of the breakpoint at ${hex(this.va)}`, () => this.#handler(hit), options);
  }
}

/** All breakpoints of a live guest. Those at one address share one of QEMU's, which is set while any of them is armed. */
export class BreakpointSet implements StopHandler {
  readonly #live: LiveSession;
  readonly #byVa = new Map<bigint, Set<Breakpoint>>();
  /** Addresses at which QEMU has a breakpoint. */
  readonly #set = new Set<bigint>();
  readonly #onEmpty: () => void;

  /** @param onEmpty called when the last one is removed */
  constructor(live: LiveSession, onEmpty: () => void) {
    this.#live = live;
    this.#onEmpty = onEmpty;
    live.onEnd(() => {
      for (const breakpoints of this.#byVa.values()) for (const each of breakpoints) each.become('removed');
      this.#byVa.clear();
    });
  }

  get isEmpty(): boolean {
    return this.#byVa.size === 0;
  }

  /** Adds a breakpoint of a process, by its top-level tables: two under page-table isolation. The guest must be stopped. */
  async addTo(
    process: ProcessName,
    request: BreakpointRequest & { readonly roots: readonly number[] },
  ): Promise<Breakpoint> {
    const { roots } = request;
    const breakpoint = new Breakpoint(this, request, process);
    const { va } = breakpoint;
    breakpoint.roots = new Set(roots);
    const isThere = await isBacked(this.#live.moment.memoryOf(roots[0]!), va);
    breakpoint.page = await WatchedPage.open(this.#live, {
      pid: process.pid,
      va,
      onPresent: () => breakpoint.become('armed'),
      onAbsent: () => breakpoint.become('pending'),
      onEnd: () => this.#forget(breakpoint),
    });
    if (isThere) breakpoint.become('armed');
    await this.#register(breakpoint);
    return breakpoint;
  }

  /** Adds a breakpoint in every address space. The guest must be stopped. */
  async addToAll(request: BreakpointRequest): Promise<Breakpoint> {
    const breakpoint = new Breakpoint(this, request);
    const { moment } = this.#live;
    await isBacked(moment.memoryOf(moment.currentRoot()), breakpoint.va);
    breakpoint.become('armed');
    await this.#register(breakpoint);
    return breakpoint;
  }

  async remove(breakpoint: Breakpoint): Promise<void> {
    if (breakpoint.state === 'removed') return;
    await this.#live.paused(async () => {
      await breakpoint.page?.release();
      this.#forget(breakpoint);
      await this.#bringInLine();
    });
  }

  /** Runs the handlers of a hit, and brings QEMU's breakpoints in line with the pages that have come and gone. */
  async atStop(): Promise<void> {
    await this.#bringInLine();
    const driver = this.#live.exactDriver;
    const { hit } = driver.breakpoints;
    if (hit === undefined) return;
    const hooks = [...(this.#byVa.get(hit.va) ?? [])];
    if (hooks.length === 0) return;
    await driver.refreshRegisters();
    const { paging } = this.#live.moment;
    const root = rootOf(paging, driver.registers.readRegisters(hit.vcpu).cr3);
    const own = hooks.filter(({ roots }) => roots === undefined || roots.has(root));
    if (own.length === 0) return;
    const { moment, released } = this.#live;
    if (!driver.limits.areRegisters && !canBeFetched(await moment.memoryOf(root).walk(hit.va))) return;
    const registers = await driver.readAllRegisters(hit.vcpu);
    for (const breakpoint of own) {
      // A handler before may have removed it.
      if (breakpoint.state === 'removed') continue;
      const handling = new Handling();
      const memory = moment.memoryOf(root, undefined, handling.over);
      const write = (va: bigint, bytes: Uint8Array) => writeTo(this.#live, memory, va, bytes);
      await breakpoint.run({ ...hit, process: breakpoint.process, root, registers, memory, write }, released);
      handling.end();
    }
    await this.#bringInLine();
  }

  /** @throws PtmonError `protect-failed` where QEMU refuses it */
  async #register(breakpoint: Breakpoint): Promise<void> {
    const { va } = breakpoint;
    const hooks = this.#byVa.get(va) ?? new Set();
    this.#byVa.set(va, hooks.add(breakpoint));
    this.#live.addHandler(this);
    const refused = await this.#bringInLine();
    if (!refused.has(va)) return;
    await breakpoint.page?.release();
    this.#forget(breakpoint);
    await this.#bringInLine();
    const { limits } = this.#live.exactDriver;
    const why = limits.areRegisters
      ? `KVM has ${limits.max} breakpoints, the debug registers of the processor, and ${this.#set.size} are set here: remove one first`
      : 'another debugger may have taken all that there are';
    throw new PtmonError('protect-failed', `QEMU refused the breakpoint at ${hex(va)}: ${why}`);
  }

  #forget(breakpoint: Breakpoint): void {
    breakpoint.become('removed');
    const hooks = this.#byVa.get(breakpoint.va);
    hooks?.delete(breakpoint);
    if (hooks?.size === 0) this.#byVa.delete(breakpoint.va);
  }

  /** @returns addresses that QEMU refused */
  async #bringInLine(): Promise<ReadonlySet<bigint>> {
    // Where the guest is sampled, a page may come and be run before the next sample.
    const isArmed = ({ state }: Breakpoint) => state === 'armed' || !this.#live.isExact;
    const armed = [...this.#byVa].flatMap(([va, hooks]) => ([...hooks].some(isArmed) ? [va] : []));
    const wanted = new Set(armed);
    const { breakpoints } = this.#live.exactDriver;
    const leaving = [...this.#set].filter((va) => !wanted.has(va));
    const coming = armed.filter((va) => !this.#set.has(va));
    if (leaving.length > 0) await breakpoints.clear(leaving);
    const refused = new Set(coming.length > 0 ? await breakpoints.set(coming) : []);
    for (const va of leaving) this.#set.delete(va);
    for (const va of coming) if (!refused.has(va)) this.#set.add(va);
    if (this.isEmpty) {
      this.#live.removeHandler(this);
      this.#onEmpty();
    }
    return refused;
  }
}

/**
 * Whether the processor can fetch an instruction. Both kinds of breakpoints stop it before it does, also where that faults then. After the
 * fault a debug register does not stop it again, because the fault sets RF (SDM vol. 3B, 18.3.1.1): its first stop is the hit. A breakpoint of
 * TCG does: its second stop is the hit.
 */
function canBeFetched(walk: Walk): boolean {
  return walk.translates && !walk.rights.noExecute;
}

/** Writes to an address space, page by page. The guest must be stopped. @throws PtmonError `read-failed`, before anything is written */
export async function writeTo(live: LiveSession, memory: VirtualMemory, va: bigint, bytes: Uint8Array): Promise<void> {
  if (!isUint8Array(bytes))
    throw new PtmonError(
      'bad-argument',
      `the bytes to write are no Uint8Array: ${String(bytes)}; Buffer.from(…) makes one`,
    );
  const start = toU64(va, 'virtual address');
  const pieces: { pa: number; bytes: Uint8Array }[] = [];
  for (let done = 0; done < bytes.length; ) {
    const at = start + BigInt(done);
    const found = await memory.walk(at);
    if (!found.translates) throw memory.absentError('written', { va: at, absent: found.reason, walk: found });
    const length = Math.min(bytes.length - done, 4096 - Number(at & 0xfffn));
    pieces.push({ pa: found.pa, bytes: bytes.subarray(done, done + length) });
    done += length;
  }
  // QEMU leaves out, without a word, what is not RAM.
  await memory.read(start, bytes.length);
  for (const piece of pieces) await live.exactDriver.writePhysical(piece.pa, piece.bytes);
}
