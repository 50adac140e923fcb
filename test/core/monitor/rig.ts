/**
 * A guest whose state a test can read: memory, one protection per view and frame, and tables built by naming addresses. Writes are
 * made as a source reports them: marked, in memory, processed; or one of the three at a time.
 */
import process from 'node:process';
import { vaOf } from '../../../src/core/address/va.ts';
import type { PtmonError } from '../../../src/core/error.ts';
import { PtmonError as Failure } from '../../../src/core/error.ts';
import { ACCESS_ALL, type PageProtection } from '../../../src/core/memory/page-access.ts';
import { SparseMemory } from '../../../src/core/memory/sparse-memory.ts';
import type { MonitorOptions } from '../../../src/core/monitor/api.ts';
import type { MonitorEvent } from '../../../src/core/monitor/events.ts';
import { PageTableMonitor } from '../../../src/core/monitor/page-table-monitor.ts';
import { PAGING_MODES, type PagingModeName } from '../../../src/core/paging/modes.ts';

export const P = 0x1n;
export const W = 0x2n;
export const U = 0x4n;
export const A = 0x20n;
export const D = 0x40n;
export const PS = 0x80n;
export const PAT_LARGE = 0x1000n;
export const XD = 1n << 63n;
export const PWU = P | W | U;

export interface RigOptions {
  readonly mode?: PagingModeName;
  readonly vendor?: 'intel' | 'amd';
  readonly views?: number;
  /** False for a source that only compares. */
  readonly protects?: boolean;
  readonly kinds?: NonNullable<MonitorOptions['kinds']>;
  /** Defaults to true, or to false where PTMON_FAST_PATH is `off`: every test of the monitor passes either way. */
  readonly fastPath?: boolean;
  readonly maxRangePages?: number;
}

const FAST_PATH = process.env['PTMON_FAST_PATH'] !== 'off';

export class Rig {
  readonly memory = new SparseMemory();
  readonly monitor: PageTableMonitor;
  readonly faults: PtmonError[] = [];
  /** Called when there is one more. */
  onFault: (() => void) | undefined;
  /** What was asked of the source's protection, in order: `view:frame=access`. */
  readonly protections: string[] = [];
  /** Called before a protection takes effect. */
  beforeProtect: ((gfn: number) => void) | undefined;
  /** Called at each call of the source, before it is answered. */
  onSourceCall: ((call: 'read' | 'get' | 'set') => void) | undefined;
  /** Makes the next call of this kind fail, for as long as it is set. */
  failing: 'read' | 'get' | 'set' | 'late' | undefined;
  /** The entry reads so far. */
  reads = 0;
  readonly #views: Map<number, Map<number, number>>;
  readonly #mode: PagingModeName;
  #nextFrame = 0x100;

  constructor({
    mode = '4-level',
    vendor = 'intel',
    views = 1,
    protects = true,
    kinds = [],
    fastPath = FAST_PATH,
    ...rest
  }: RigOptions = {}) {
    this.#mode = mode;
    this.#views = new Map(Array.from({ length: views }, (_, view) => [view, new Map<number, number>()]));
    this.monitor = new PageTableMonitor({
      memory: {
        readEntry: (pa, byteLength, out) => {
          this.reads += 1;
          this.onSourceCall?.('read');
          if (this.failing === 'read') throw new Error('the source fails to read');
          return this.memory.readEntry(pa, byteLength, out);
        },
      },
      ...(protects ? { protection: this.#protection() } : {}),
      paging: { mode, vendor },
      kinds,
      fastPath,
      ...(rest.maxRangePages === undefined ? {} : { maxRangePages: rest.maxRangePages }),
      onFault: (fault) => {
        this.faults.push(fault);
        this.onFault?.();
      },
    });
  }

  /** A zeroed frame; its physical address. */
  frame(): number {
    this.memory.addPage(this.#nextFrame);
    return this.#nextFrame++ * 4096;
  }

  /** Physical address of the entry that translates `va` in the table at `table`. */
  slot(table: number, va: bigint, level: number): number {
    const { tables, entryBytes } = PAGING_MODES[this.#mode];
    const below = tables.slice(tables.length - level + 1).reduce((bits, each) => bits + each.indexBits, 12);
    const index = (va >> BigInt(below)) & ((1n << BigInt(tables[tables.length - level]!.indexBits)) - 1n);
    return table + Number(index) * entryBytes;
  }

  /** Physical address of the entry of `va` at `level`, by walking down from `root` through tables that are there. */
  entry(root: number, va: bigint, level: number): number {
    let pa = this.slot(root, va, PAGING_MODES[this.#mode].tables.length);
    for (let at = PAGING_MODES[this.#mode].tables.length; at > level; at--) {
      pa = this.slot(Number(this.read(pa) & 0xf_ffff_ffff_f000n), va, at - 1);
    }
    return pa;
  }

  /** Makes the tables of `va` down to `level`, where they are missing, and writes its entry there, all unseen. */
  build(root: number, va: bigint, value: bigint, level = 1): void {
    let pa = this.slot(root, va, PAGING_MODES[this.#mode].tables.length);
    for (let at = PAGING_MODES[this.#mode].tables.length; at > level; at--) {
      const pdpte = this.#mode === 'pae' && at === 3;
      if ((this.read(pa) & P) === 0n) this.poke(pa, BigInt(this.frame()) | (pdpte ? P : PWU));
      pa = this.slot(Number(this.read(pa) & 0xf_ffff_ffff_f000n), va, at - 1);
    }
    this.poke(pa, value);
  }

  read(pa: number): bigint {
    const page = this.memory.page(Math.floor(pa / 4096))!;
    const word = (pa % 4096) / 4;
    const low = BigInt(page[word]!);
    return PAGING_MODES[this.#mode].entryBytes === 8 ? low | (BigInt(page[word + 1]!) << 32n) : low;
  }

  /** An entry into memory, and nobody is told. */
  poke(pa: number, value: bigint): void {
    const low = Number(value & 0xffff_ffffn);
    if (PAGING_MODES[this.#mode].entryBytes === 8) this.memory.writeU64(pa, low, Number(value >> 32n));
    else this.memory.writeU32(pa, low);
  }

  /** A vCPU is about to write this entry. */
  mark(pa: number, vcpu = 0, view = 0): boolean {
    return this.monitor.markDirtyEntry(pa, view, vcpu);
  }

  /** A vCPU writes an entry: marked, in memory, processed. */
  write(pa: number, value: bigint, vcpu = 0, view = 0): MonitorEvent[] {
    this.mark(pa, vcpu, view);
    this.poke(pa, value);
    return this.monitor.processDirtyEntries(vcpu);
  }

  /** What the source gives a frame in a view. */
  access(pa: number, view = 0): number {
    return this.#views.get(view)?.get(Math.floor(pa / 4096)) ?? ACCESS_ALL;
  }

  /** The frames to which the source gives less than everything. */
  restricted(view = 0): number[] {
    return [...this.#views.get(view)!].filter(([, access]) => access !== ACCESS_ALL).map(([gfn]) => gfn);
  }

  /** What the source gave a frame before the monitor. */
  giveAccess(pa: number, access: number, view = 0): void {
    this.#views.get(view)!.set(Math.floor(pa / 4096), access);
  }

  destroyView(view: number): void {
    this.#views.delete(view);
  }

  #protection(): PageProtection {
    const of = (view: number) => {
      const frames = this.#views.get(view);
      if (frames === undefined) throw new Failure('no-such-view', `view ${view} does not exist`, { view });
      return frames;
    };
    return {
      getAccess: (view, gfn) => {
        this.onSourceCall?.('get');
        if (this.failing === 'get') throw new Error('the source fails to get access');
        return of(view).get(gfn) ?? ACCESS_ALL;
      },
      setAccess: (view, gfn, access) => {
        this.onSourceCall?.('set');
        if (this.failing === 'set') throw new Error('the source fails to set access');
        const frames = of(view);
        if ((access & 2) === 0) this.beforeProtect?.(gfn);
        frames.set(gfn, access);
        if (this.failing === 'late') throw new Error('the source fails after it has set access');
        this.protections.push(`${view}:0x${gfn.toString(16)}=${access}`);
      },
    };
  }
}

/** Events as a person would note them down: `in 0x7000 → 0x5000`. */
export function notes(events: readonly MonitorEvent[]): string[] {
  return events.map((event) => {
    const pages = 'pages' in event && event.pages !== 1 ? ` ×${event.pages}` : '';
    const va = `0x${event.va.toString(16)}${pages}`;
    switch (event.kind) {
      case 'page-in':
        return `in ${va} → 0x${event.pa.toString(16)}`;
      case 'page-out':
        return `out ${va} → 0x${event.pa.toString(16)}`;
      case 'protection':
        return `protection ${va} ${rights(event.oldRights)} → ${rights(event.newRights)}`;
      case 'restructure':
        return `restructure ${va} ${event.oldPageSize} → ${event.pageSize}`;
      case 'root-gone':
        return `root-gone ${va}`;
    }
  });
}

function rights({
  writable,
  user,
  noExecute,
  protectionKey,
}: {
  writable: boolean;
  user: boolean;
  noExecute: boolean;
  protectionKey: number;
}) {
  const letters = `${writable ? 'w' : '-'}${user ? 'u' : '-'}${noExecute ? '-' : 'x'}`;
  return protectionKey === 0 ? letters : `${letters}/${protectionKey}`;
}

/** The first address of page `vpn`. */
export const page = (vpn: number): bigint => vaOf(vpn, 0);
