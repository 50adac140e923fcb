/** A process of the guest: its memory map and its memory. It stays the same process: one that ends is not mistaken for another. */
import { PtmonError } from '../core/error.ts';
import type { Walk } from '../core/paging/walk.ts';
import { isOfMap, type LinuxGuest, type MemoryArea, type MemoryMap, type Process } from '../linux/index.ts';
import { type DumpedRange, dumpRange } from './memory/dump.ts';
import { search } from './memory/search.ts';
import type { VirtualMemory } from './memory/virtual-memory.ts';
import type { Moment } from './moment.ts';
import type { GuestSource } from './source/guest-source.ts';

/** A range of virtual addresses: bytes from `va` on. */
export interface VirtualRange {
  readonly va: bigint;
  readonly byteLength: bigint;
}

/** A part of a process's memory: an area by its name (`heap`, `stack`, a file's path or name, `anon`), or a range. */
export type MemoryPart = string | VirtualRange;

export class GuestProcess {
  readonly pid: number;
  /** What /proc/PID/comm says: at most 15 bytes. */
  readonly comm: string;
  readonly #source: GuestSource;
  /** Address of its `task_struct`, and when it began: together they are no other process's. */
  readonly #task: bigint;
  readonly #startTime: bigint;

  constructor(
    source: GuestSource,
    { pid, command, task }: Pick<Process, 'pid' | 'command' | 'task'>,
    startTime: bigint,
  ) {
    this.#source = source;
    this.pid = pid;
    this.comm = command;
    this.#task = task;
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

  #inMemory<T>(work: (memory: VirtualMemory, moment: Moment) => Promise<T>): Promise<T> {
    return this.#source.paused(async (moment) => work(moment.memoryOf(await this.#rootIn(moment)), moment));
  }

  async #rootIn(moment: Moment): Promise<number> {
    const linux = await moment.linux();
    const { mm } = await this.#find(linux);
    const [root] = mm === 0n ? [] : await linux.do(() => linux.tasks.roots(mm));
    if (root === undefined)
      throw new PtmonError('source-unavailable', `${this.toString()} has no memory of its own any more`);
    return root;
  }

  async #find(linux: LinuxGuest) {
    const briefs = await linux.run(() => linux.tasks.briefs(() => {}));
    const brief = briefs.find(({ task }) => task === this.#task);
    if (brief?.pid === this.pid && brief.startTime === this.#startTime) return brief;
    throw new PtmonError('source-unavailable', `process ${this.toString()} has ended`);
  }

  async #rangesOf(moment: Moment, part: MemoryPart | undefined): Promise<readonly VirtualRange[]> {
    if (typeof part === 'object') return [part];
    const linux = await moment.linux();
    const { mm } = await this.#find(linux);
    const { areas } = await linux.areasOf(mm);
    const fitting = areas.filter((area) => part === undefined || isNamed(area, part));
    if (fitting.length > 0 || part === undefined) return fitting.map(rangeOf);
    const names = [...new Set(areas.map(({ name }) => name).filter((name) => name !== ''))].join(', ');
    throw new PtmonError(
      'bad-argument',
      `${this.toString()} has no area "${part}"; it has ${names}, and ranges as { va, byteLength }`,
    );
  }
}

function isNamed(area: MemoryArea, name: string): boolean {
  return isOfMap({ kind: 'named', name }, area) || (name === 'anon' && area.name === '');
}

function rangeOf({ start, end }: MemoryArea): VirtualRange {
  return { va: start, byteLength: end - start };
}
