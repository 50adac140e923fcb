/** A guest that a script works with: live, a dump, or a trace. */
import { toU64 } from '../core/address/va.ts';
import { addressOfSymbol, type Process, type TaskBrief } from '../linux/index.ts';
import { type Capabilities, requireCapability } from './capabilities.ts';
import { checkOptions } from './check-options.ts';
import { BatchWatch, checkFollow, type FollowRequest } from './hooks/batch-watch.ts';
import type { Breakpoint, BreakpointHandler, BreakpointOptions } from './hooks/breakpoint.ts';
import { checkHandler, HANDLER_OPTIONS, type HandlerOptions } from './hooks/handler.ts';
import { checkHook, type ProcessEventName, type ProcessHook } from './hooks/process-hooks.ts';
import { findProcess } from './find-process.ts';
import { GuestMemory } from './memory/guest-memory.ts';
import type { Moment } from './moment.ts';
import { GuestProcess } from './process.ts';
import { checkSymbol } from './symbols/program-symbols.ts';
import type { GuestSource } from './source/guest-source.ts';

export class Guest implements AsyncDisposable {
  readonly #source: GuestSource;

  /** @internal */
  constructor(source: GuestSource) {
    this.#source = source;
  }

  /** The VM's name, or the path of the file. */
  get name(): string {
    return this.#source.name;
  }

  /** What can be done with it, and what is missing for the rest. */
  get capabilities(): Capabilities {
    return this.#source.capabilities;
  }

  /** Every process of its Linux, by PID. @throws PtmonError `source-unavailable` where no Linux is found */
  processes(): Promise<readonly Process[]> {
    return this.#ask(async (moment) => (await (await moment.linux()).processes()).processes);
  }

  /**
   * One process, by its PID or its name.
   *
   * @throws PtmonError `bad-argument` where there is none, naming those that there are; where several have the name, with their PIDs
   */
  process(which: number | string): Promise<GuestProcess> {
    return this.#ask(async (moment) => {
      const linux = await moment.linux();
      const found = findProcess((await linux.processes()).processes, which);
      return new GuestProcess(this.#source, found, found.startTime);
    });
  }

  /** The address of a symbol of the kernel. @throws PtmonError `bad-argument` where it has none of this name, or no symbols */
  async symbol(name: string): Promise<bigint> {
    checkSymbol(name);
    return this.#ask(async (moment) => {
      const { symbols } = await (await moment.linux()).names();
      return addressOfSymbol(symbols, name);
    });
  }

  /**
   * Calls `handler` each time any thread of the guest is about to run the instruction at an address of the kernel, with the guest
   * stopped.
   *
   * @param where an address, or the name of a symbol of the kernel
   * @throws PtmonError `bad-argument` where the guest has no gdbstub, or the kernel no such symbol
   */
  async breakpoint(
    where: bigint | string,
    handler: BreakpointHandler,
    options: BreakpointOptions = {},
  ): Promise<Breakpoint> {
    checkOptions('breakpoint', options, HANDLER_OPTIONS);
    requireCapability(this.capabilities, 'breakpoints', `a breakpoint in ${this.name}`);
    const va = typeof where === 'string' ? await this.symbol(where) : where;
    return this.#source.watching(async ({ live, breakpoints }) => {
      const breakpoint = await live.paused(() => breakpoints.addToAll({ va, handler, options }));
      live.start();
      return breakpoint;
    });
  }

  /**
   * Calls `handler` with the guest stopped whenever a process begins (`process`: fork or clone has made it, and it has its parent's name),
   * runs another program (`exec`: that is mapped, and about to run), or ends (`exit`; what it had in memory is gone). Where the guest is sampled, processes
   * that live between two samples are missed.
   *
   * @throws PtmonError `bad-argument` where the guest cannot be watched, or for an event or a handler that is none
   */
  async on(
    event: ProcessEventName,
    handler: (process: GuestProcess) => Promise<void> | void,
    options: HandlerOptions = {},
  ): Promise<ProcessHook> {
    checkOptions('on', options, HANDLER_OPTIONS);
    checkHook({ event, handler }, options);
    const call = (brief: TaskBrief) => handler(new GuestProcess(this.#source, brief, brief.startTime));
    return this.#source.watching(async ({ live, processHooks }) => {
      const hook = await live.paused(() => processHooks.add({ event, handler: call, ...options }));
      live.start();
      return hook;
    });
  }

  /** Does `work` with the guest paused, for several questions of one moment. What it is given is invalid afterwards. */
  paused<T>(work: (moment: Moment) => Promise<T>): Promise<T> {
    return this.#ask(work);
  }

  /** The memory of an address space. @param root a CR3 value, or the physical address of a top-level table */
  memory(root: bigint | number): GuestMemory {
    return new GuestMemory(this.#source, toU64(root, 'root'));
  }

  /** Its physical memory, by physical addresses. */
  get physicalMemory(): GuestMemory {
    return new GuestMemory(this.#source, undefined);
  }

  /** Bytes of physical memory. @throws PtmonError `read-failed` where any of them is not RAM */
  readPhysical(pa: number, byteLength: number): Promise<Uint8Array> {
    return this.#ask((moment) => moment.readPhysical(pa, byteLength));
  }

  /** Bytes of an address space. @param root a CR3 value, or the physical address of a top-level table */
  read(root: bigint | number, va: bigint, byteLength: number): Promise<Uint8Array> {
    return this.#ask((moment) => moment.memoryOf(root).read(va, byteLength));
  }

  /**
   * Watches processes, and delivers the events of each stop at once: `watch` of a process delivers them one by one. Processes of a name
   * are watched as they come and go.
   *
   * @throws PtmonError `bad-argument` where there is no process of that PID, or the guest cannot be watched
   */
  async follow(request: FollowRequest): Promise<BatchWatch> {
    checkFollow(request);
    return this.#source.watching(async ({ live }) => {
      const onStop = () => this.#source.releaseIfIdle();
      const handle = await live.paused(() => BatchWatch.open({ ...request, live, onStop }));
      live.start();
      return handle;
    });
  }

  /** Resolves when the guest ends, or `close` is called; it runs meanwhile. @throws what ended the session, if it failed */
  run(): Promise<void> {
    return this.#source.watching(
      ({ live }) =>
        new Promise((resolve, reject) => {
          live.onEnd((failure) => (failure === undefined ? resolve() : reject(asError(failure))));
          live.letRun();
        }),
    );
  }

  /**
   * Releases the guest: it runs on, if it ran before.
   *
   * @param options `leaveStopped` leaves a guest that is watched stopped, without watchpoints and breakpoints: `cont` in QEMU's monitor,
   *   or gdb, resumes it
   */
  async close(options: { readonly leaveStopped?: boolean } = {}): Promise<void> {
    checkOptions('close', options, { leaveStopped: 'boolean' });
    await this.#source.close(options.leaveStopped === true);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #ask<T>(work: (moment: Moment) => Promise<T>): Promise<T> {
    checkHandler(work);
    requireCapability(this.capabilities, 'snapshot', `looking at ${this.name}`);
    return this.#source.paused(work);
  }
}

function asError(failure: unknown): Error {
  return failure instanceof Error ? failure : new Error(String(failure));
}
