/** A source that does what a script says: one root, one page table, and a log of what it was asked. */
import { gfnOf, PAGE_BYTES } from '../../src/core/address/pa.ts';
import { PtmonError } from '../../src/core/error.ts';
import type { PageProtection } from '../../src/core/memory/page-access.ts';
import { type PhysicalMemory, READ_NOT_FETCHED, type ReadOutcome } from '../../src/core/memory/physical-memory.ts';
import { SparseMemory } from '../../src/core/memory/sparse-memory.ts';
import type {
  Driver,
  PagingRegisters,
  RegisterAccess,
  RemoteFetch,
  SourceEvent,
  WriteProof,
} from '../../src/driver/driver.ts';

export const ROOT = 0x1000;
const PT = 0x4000;
const POINTER = 0x7;

/** What the guest does before it stands still again: what it says of it, or what happens instead. */
export type Step = (signal?: AbortSignal) => readonly SourceEvent[] | Promise<readonly SourceEvent[]>;

/** The virtual address that slot `page` of the page table translates. */
export function vaOfPage(page: number): bigint {
  return BigInt(page * PAGE_BYTES);
}

export class ScriptedDriver implements Driver {
  readonly name = 'script';
  readonly ram = new SparseMemory();
  readonly log: string[] = [];
  readonly protectedFrames = new Set<number>();
  readonly protection: PageProtection;
  memory: PhysicalMemory = this.ram;
  registers?: RegisterAccess;
  remote?: RemoteFetch;
  proof?: WriteProof | undefined;
  isSampled?: boolean;
  readonly comparedEvents: number[] = [];
  /** Thrown, in order, by the next calls of the source. */
  readonly failures: { read: Error[]; protect: Error[] } = { read: [], protect: [] };
  /** Batches that the guest has run for. */
  advanced = 0;
  readonly #steps: Iterable<Step>;

  constructor(steps: Iterable<Step> = []) {
    this.#steps = steps;
    this.ram.writeU64(ROOT, 0x2000 | POINTER, 0);
    this.ram.writeU64(0x2000, 0x3000 | POINTER, 0);
    this.ram.writeU64(0x3000, PT | POINTER, 0);
    this.ram.addPage(gfnOf(PT));
    this.protection = {
      getAccess: (_view, gfn) => (this.protectedFrames.has(gfn) ? 5 : 7),
      setAccess: (_view, gfn, access) => {
        const failure = this.failures.protect.shift();
        if (failure !== undefined) throw failure;
        if (access === 7) this.protectedFrames.delete(gfn);
        else this.protectedFrames.add(gfn);
      },
    };
    this.memory = {
      readEntry: (pa, byteLength, out) => {
        const failure = this.failures.read.shift();
        if (failure !== undefined) throw failure;
        return this.ram.readEntry(pa, byteLength, out);
      },
    };
  }

  compared(events: number): void {
    this.comparedEvents.push(events);
  }

  /** Puts frame `gfn` behind a page; 0 takes the page away. Answers the write that a trap would report. */
  set(page: number, gfn: number, vcpu = 0): SourceEvent {
    const pa = PT + page * 8;
    this.ram.writeU64(pa, gfn === 0 ? 0 : gfn * PAGE_BYTES + POINTER, 0);
    return { kind: 'write', vcpu, view: 0, pa, byteLength: 8 };
  }

  /** A write and its commit. */
  map(page: number, gfn: number, vcpu = 0): SourceEvent[] {
    return [this.set(page, gfn, vcpu), commit(vcpu)];
  }

  async *run(signal?: AbortSignal): AsyncGenerator<readonly SourceEvent[], void, undefined> {
    this.log.push('run');
    try {
      for (const step of this.#steps) {
        if (signal?.aborted) return;
        this.advanced++;
        yield await step(signal);
      }
    } finally {
      this.log.push('stand still');
    }
  }

  close(): Promise<void> {
    this.log.push(`close, ${this.protectedFrames.size} protected`);
    return Promise.resolve();
  }
}

export function commit(vcpu = 0): SourceEvent {
  return { kind: 'commit', vcpu };
}

/** Runs until the session is aborted, as a guest that does nothing would. */
export const idle: Step = (signal) =>
  new Promise((resolve) => {
    signal?.addEventListener('abort', () => resolve([]), { once: true });
  });

/** Makes the memory of a driver remote: frames are readable once fetched, until `forget`. */
export function makeRemote(driver: ScriptedDriver): { fetches: number[][]; forget: () => void } {
  const local = driver.memory;
  const here = new Set<number>();
  const fetches: number[][] = [];
  driver.memory = {
    readEntry: (pa, byteLength, out): ReadOutcome =>
      here.has(gfnOf(pa)) ? local.readEntry(pa, byteLength, out) : READ_NOT_FETCHED,
  };
  driver.remote = {
    fetch: async (addresses) => {
      await Promise.resolve();
      fetches.push([...addresses]);
      for (const pa of addresses) here.add(gfnOf(pa));
    },
  };
  return { fetches, forget: () => here.clear() };
}

/** Registers of a guest in 4-level paging, or whatever is told. */
export function registersOf(registers: Partial<PagingRegisters>): RegisterAccess {
  const all = { cr0: 1n << 31n, cr3: BigInt(ROOT), cr4: 1n << 5n, efer: 0xd00n, ...registers };
  return { vcpuCount: 1, readRegisters: () => all };
}

export function readFailed(): PtmonError {
  return new PtmonError('read-failed', 'the read failed');
}
