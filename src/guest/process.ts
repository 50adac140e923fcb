/** A process of the guest: its memory map and its memory. It stays the same process: one that ends is not mistaken for another. */
import { hex, toU64 } from '../core/address/va.ts';
import { PtmonError } from '../core/error.ts';
import { EVENT_KINDS } from '../core/monitor/events.ts';
import type { Walk } from '../core/paging/walk.ts';
import {
  areasOfMap,
  type LinuxGuest,
  type MapChoice,
  type MemoryArea,
  type MemoryMap,
  type Process,
} from '../linux/index.ts';
import { requireCapability } from './capabilities.ts';
import { checkOptions } from './check-options.ts';
import { type Breakpoint, type BreakpointHandler, type BreakpointOptions, writeTo } from './hooks/breakpoint.ts';
import { checkHandler, HANDLER_OPTIONS, type HandlerOptions, Handling, withinTimeLimit } from './hooks/handler.ts';
import { ProcessWatchHandle } from './hooks/process-watch.ts';
import type { AddressRange, RangeFilter } from '../snapshot/index.ts';
import { Arrival } from './hooks/arrival.ts';
import { isBacked, WatchedPage } from './hooks/watched-page.ts';
import { type DumpedRange, dumpRange } from './memory/dump.ts';
import { search } from './memory/search.ts';
import { checkedRange, type VirtualMemory, type VirtualRange } from './memory/virtual-memory.ts';
import type { Moment } from './moment.ts';
import { isOver } from './session/live-session.ts';
import { checkSymbol, findProgramSymbol } from './symbols/program-symbols.ts';
import type { GuestSource } from './source/guest-source.ts';

/** A part of a process's memory: an area by its name (`heap`, `stack`, a file's path or name, `anon`), or a range. */
export type MemoryPart = string | VirtualRange;

export interface WatchOptions {
  readonly kinds?: readonly ('protection' | 'restructure')[];
  /** Whether to wait for an area that is not there yet, such as a library that is loaded later. */
  readonly wait?: boolean;
}

export interface SymbolOptions {
  /** Path of a file of this host that has the symbols. */
  readonly symbols?: string;
}

export class GuestProcess {
  readonly pid: number;
  /** What /proc/PID/comm says: at most 15 bytes. */
  readonly comm: string;
  readonly #source: GuestSource;
  /** When it began, in nanoseconds: together with its PID no other process's. */
  readonly #startTime: bigint;

  /** @internal */
  constructor(source: GuestSource, { pid, command }: Pick<Process, 'pid' | 'command'>, startTime: bigint) {
    this.#source = source;
    this.pid = pid;
    this.comm = command;
    this.#startTime = startTime;
  }

  /** `nginx[412]`. */
  toString(): string {
    return `${this.comm}[${this.pid}]`;
  }

  /** Its areas, as /proc/PID/maps lists them, with how much of each is in memory. @throws PtmonError where it has ended */
  maps(): Promise<MemoryMap> {
    return this.#source.paused(async (moment) => {
      const linux = await moment.linux();
      await this.#find(linux);
      return linux.map(this.pid);
    });
  }

  /** Physical address of its top-level table. @throws PtmonError where it has ended */
  root(): Promise<number> {
    return this.#source.paused((moment) => this.#rootIn(moment));
  }

  /** Reads bytes. @throws PtmonError `read-failed` naming the first address that is not mapped; where it has ended */
  read(va: bigint, byteLength: number): Promise<Uint8Array> {
    return this.#inMemory((memory) => memory.read(va, byteLength));
  }

  /** Reads a text up to its zero byte, as UTF-8. @throws PtmonError as `read` */
  readString(va: bigint, maxBytes?: number): Promise<string> {
    return this.#inMemory((memory) => memory.readString(va, maxBytes));
  }

  /**
   * The address of a symbol of the program, of a library that it has loaded, or of the vDSO.
   *
   * @param name as `main`, or `libc.so.6!malloc` for that of one file
   * @param options.symbols a file of this host with the symbols of that file, by default of the program. Without it only what the files
   *   export is known, as far as it is in the guest's memory.
   * @throws PtmonError `bad-argument` where there is none, saying why
   */
  async symbol(name: string, options: SymbolOptions = {}): Promise<bigint> {
    checkOptions('symbol', options, { symbols: 'string' });
    checkSymbol(name);
    return this.#inMemory(async (memory, moment) => {
      const linux = await moment.linux();
      const { mm } = await this.#find(linux);
      const { areas } = await linux.areasOf(mm);
      return findProgramSymbol({
        symbol: name,
        file: options.symbols,
        areas,
        read: (va, byteLength) => memory.read(va, byteLength),
      });
    });
  }

  /** What its page tables map, as ranges with rights, sizes and physical addresses. @param filter which ranges */
  ranges(filter?: RangeFilter): Promise<readonly AddressRange[]> {
    return this.#source.paused(async (moment) => moment.ranges(await this.#rootIn(moment), filter));
  }

  /** Translates an address. */
  walk(va: bigint): Promise<Walk> {
    return this.#inMemory((memory) => memory.walk(va));
  }

  /**
   * The addresses at which a pattern is in memory, ascending.
   *
   * @param part where to search; all of the process by default
   */
  search(pattern: Uint8Array | string, part?: MemoryPart): Promise<readonly bigint[]> {
    return this.#inMemory(async (memory, moment) => {
      const found: bigint[] = [];
      for (const range of await this.#rangesOf(moment, part)) {
        for await (const va of search(memory, pattern, range)) found.push(va);
      }
      return found;
    });
  }

  /** Writes a range to a new file. @returns what is absent; the file has holes there */
  dump(range: VirtualRange, path: string): Promise<DumpedRange> {
    return this.#inMemory((memory) => dumpRange(memory, { ...range, path }));
  }

  /**
   * Writes bytes, all of whose pages must be present.
   *
   * @throws PtmonError `read-failed` naming the first address that is not mapped, before anything is written; `bad-argument` where the
   *   guest cannot be written to
   */
  async write(va: bigint, bytes: Uint8Array): Promise<void> {
    requireCapability(this.#source.capabilities, 'write', `writing to ${this.toString()}`);
    await this.#source.watching(({ live }) =>
      live.paused(async () => writeTo(live, await this.#memoryIn(live.moment), va, bytes)),
    );
  }

  /**
   * Watches its memory: `for await (const event of await process.watch('heap'))`. The guest is stopped while the loop's body runs.
   *
   * @param part an area by its name, or by an address in it; all of the process by default
   * @param options `kinds`: event kinds beyond page-in, page-out and root-gone; `wait`: whether the area may come later. A heap always may.
   * @throws PtmonError `bad-argument` where the guest cannot be watched, or no such area is there; where the process has ended
   */
  async watch(part?: string | bigint, options: WatchOptions = {}): Promise<ProcessWatchHandle> {
    checkOptions('watch', options, { kinds: 'any', wait: 'boolean' });
    const { kinds = [], wait = part === 'heap' } = options;
    checkKinds(kinds);
    const map = part === undefined ? undefined : choiceOf(part);
    return this.#source.watching(({ live }) =>
      live.paused(async () => {
        const { mm } = await this.#find(live.linux);
        if (!wait && map !== undefined) areasOfMap(this.toString(), (await live.linux.areasOf(mm)).areas, map);
        const selection = { by: { pid: this.pid }, ...(map === undefined ? {} : { map }) };
        return ProcessWatchHandle.open({ live, selection, kinds, onStop: () => this.#source.releaseIfIdle() });
      }),
    );
  }

  /**
   * Waits until an address is backed by memory. Readers of watches do not keep the guest stopped meanwhile.
   *
   * @param whileStopped called with the guest stopped at that moment; the guest runs on when it has finished. Without it, the guest is
   *   stopped until the script has finished what it reads at once.
   * @param options.timeoutMs how long the guest waits for `whileStopped`; defaults to 10,000
   * @returns what `whileStopped` returns
   * @throws PtmonError `source-unavailable` where the process ends first, `closed` where `whileStopped` takes too long
   */
  async page<T = void>(
    va: bigint,
    whileStopped?: (memory: VirtualMemory) => Promise<T>,
    options: Pick<HandlerOptions, 'timeoutMs'> = {},
  ): Promise<T> {
    checkOptions('page', options, { timeoutMs: 'any' });
    if (whileStopped !== undefined) checkHandler(whileStopped, options);
    return this.#source.watching(({ live }) => {
      const arrival = new Arrival<T>(async () => {
        if (whileStopped === undefined) return undefined as T;
        const handling = new Handling();
        const memory = live.moment.memoryOf(await this.#rootIn(live.moment), this.toString(), handling.over);
        try {
          return await withinTimeLimit(
            `the function of page(${hex(va)})`,
            () => whileStopped(memory),
            options.timeoutMs,
          );
        } finally {
          handling.end();
        }
      });
      const begin = async () => {
        const memory = await this.#memoryIn(live.moment);
        if (await isBacked(memory, va)) return arrival.come(live.released);
        const page = await WatchedPage.open(live, {
          pid: this.pid,
          va: toU64(va, 'virtual address'),
          onPresent: async () => {
            await page.release();
            await arrival.come(live.released);
          },
          onAbsent: () => {},
          onEnd: () =>
            arrival.fail(
              new PtmonError('source-unavailable', `process ${this.toString()} has ended: ${hex(va)} was never backed`),
            ),
        });
        live.onEnd((failure) => arrival.fail(failure ?? isOver()));
      };
      live.paused(begin).then(
        () => live.letRun(),
        (error: unknown) => arrival.fail(error),
      );
      return arrival.result;
    });
  }

  /**
   * Calls `handler` each time a thread of this process is about to run the instruction at an address, with the guest stopped. Pending
   * while its page is absent, armed when it comes; removed when the process ends.
   *
   * @param where an address, or a symbol as for `symbol`
   * @throws PtmonError `bad-argument` where the guest has no gdbstub, or the program no such symbol; where the process has ended
   */
  async breakpoint(
    where: bigint | string,
    handler: BreakpointHandler,
    options: BreakpointOptions & SymbolOptions = {},
  ): Promise<Breakpoint> {
    checkOptions('breakpoint', options, { ...HANDLER_OPTIONS, symbols: 'string' });
    const { symbols } = options;
    requireCapability(this.#source.capabilities, 'breakpoints', `a breakpoint in ${this.toString()}`);
    const va = typeof where === 'string' ? await this.symbol(where, symbols === undefined ? {} : { symbols }) : where;
    return this.#source.watching(async ({ live, breakpoints }) => {
      const breakpoint = await live.paused(async () => {
        const { mm } = await this.#find(live.linux);
        const roots = await live.linux.do(() => live.linux.tasks.roots(mm));
        return breakpoints.addTo(this, { roots, va, handler, options });
      });
      live.start();
      return breakpoint;
    });
  }

  #inMemory<T>(work: (memory: VirtualMemory, moment: Moment) => Promise<T>): Promise<T> {
    return this.#source.paused(async (moment) => work(await this.#memoryIn(moment), moment));
  }

  async #memoryIn(moment: Moment): Promise<VirtualMemory> {
    return moment.memoryOf(await this.#rootIn(moment), this.toString());
  }

  async #rootIn(moment: Moment): Promise<number> {
    const linux = await moment.linux();
    const { mm } = await this.#find(linux);
    const [root] = mm === 0n ? [] : await linux.do(() => linux.tasks.roots(mm));
    if (root === undefined)
      throw new PtmonError('source-unavailable', `${this.toString()} no longer has memory of its own`);
    return root;
  }

  async #find(linux: LinuxGuest) {
    const briefs = await linux.run(() => linux.tasks.briefs(() => {}));
    const brief = briefs.find(({ pid }) => pid === this.pid);
    if (brief?.startTime === this.#startTime) return brief;
    throw new PtmonError('source-unavailable', `process ${this.toString()} has ended`);
  }

  async #rangesOf(moment: Moment, part: MemoryPart | undefined): Promise<readonly VirtualRange[]> {
    if (part !== undefined && typeof part === 'object') return [checkedRange(part)];
    const linux = await moment.linux();
    const { mm } = await this.#find(linux);
    const { areas } = await linux.areasOf(mm);
    return areasOfMap(this.toString(), areas, part === undefined ? undefined : choiceOf(part)).map(rangeOf);
  }
}

function checkKinds(kinds: readonly string[]): void {
  const known: readonly string[] = EVENT_KINDS;
  if (!Array.isArray(kinds))
    throw new PtmonError('bad-argument', `kinds ${String(kinds)}: give an array of ${known.join(', ')}`);
  const strange = kinds.find((kind) => !known.includes(kind));
  if (strange === undefined) return;
  throw new PtmonError('bad-argument', `there are no events of the kind ${String(strange)}: only ${known.join(', ')}`);
}

function choiceOf(part: string | bigint): MapChoice {
  if (part === '')
    throw new PtmonError('bad-argument', 'the name of the area is empty: areas without a name are called "anon"');
  return typeof part === 'string' ? { kind: 'named', name: part } : { kind: 'at', va: toU64(part, 'virtual address') };
}

function rangeOf({ start, end }: MemoryArea): VirtualRange {
  return { va: start, byteLength: end - start };
}
