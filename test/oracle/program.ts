/**
 * A random program: what a guest, its hypervisor and the monitor's user do, as plain data. Every operation makes sense in
 * every situation (indices wrap, what cannot be done is skipped), so any part of a program is a program: that is what makes
 * it shrink, and what lets a failing one be kept as it was printed.
 */
import type { OptInKind, Tag } from '../../src/core/monitor/events.ts';
import type { PagingModeName } from '../../src/core/paging/modes.ts';

/**
 * A page-table entry: a frame (an index into the program's `frames`) and its other bits, or all 64 bits in hex.
 * Bits 0 to 11 are the entry's own; then 12: bit 12 (PAT of a large leaf), 16: XD, 17 to 20: protection key, 21 to 27: bits 58:52.
 */
export type Value = readonly [frame: number, bits: number] | string;

/** When a trapped write is in memory and processed: 0 later (`land`, `commit`), 1 in memory at once, 2 processed at once. */
export type When = 0 | 1 | 2;

/** A write by a vCPU (`c`), through a view (`g`) where several trap it. */
interface Write {
  readonly c: number;
  readonly g?: number;
  readonly w: When;
}

/** Root (index into `roots`) and address (index into `vas`, or hex). `x` dresses the root up as a CR3 value (rule T2). */
interface Place {
  readonly r: number;
  readonly a: number | string;
  readonly x?: number;
}

interface Watch extends Place {
  /** View. */
  readonly g: number;
  readonly t?: Tag;
}

export type Op =
  /** One entry: slot `slots[s]` of frame `f`. */
  | ({ readonly k: 'set'; readonly f: number; readonly s: number; readonly v: Value } & Write)
  /** Bytes `skip` to `skip + n` of the entries `v`, written at byte `o` of frame `f`: any width, any alignment. */
  | ({
      readonly k: 'wide';
      readonly f: number;
      readonly o: number;
      readonly v: readonly Value[];
      readonly skip: number;
      readonly n: number;
    } & Write)
  /** A whole frame: entry i is `v` plus i * `step` frames. */
  | ({ readonly k: 'fill'; readonly f: number; readonly v: Value; readonly step: number } & Write)
  /** Maps the address with a leaf at level `lv`; tables that are missing come from frames `t`; root first, or leaf first (`up`). */
  | ({
      readonly k: 'map';
      readonly lv: number;
      readonly v: Value;
      readonly t?: readonly number[];
      readonly up?: boolean;
      readonly dirty?: boolean;
    } & Place &
      Write)
  /** Overwrites the entry of the walk at level `lv` (or the last one). */
  | ({ readonly k: 'put'; readonly lv: number; readonly v: Value } & Place & Write)
  /** Flips bits (as in `Value`) of the entry of the walk at level `lv` (or the last one). */
  | ({ readonly k: 'flip'; readonly lv: number; readonly bits: number } & Place & Write)
  /** A large leaf becomes a table of the same frames, in frame `f`. */
  | ({ readonly k: 'split'; readonly f: number } & Place & Write)
  /** A page table becomes one large leaf, where the frames allow it. */
  | ({ readonly k: 'merge' } & Place & Write)
  /** The processor uses the address: accessed bits, and with `d` dirty, without any trap. */
  | ({ readonly k: 'use'; readonly d: 0 | 1 } & Place)
  /** The next `n` writes that this vCPU has in flight reach memory. */
  | { readonly k: 'land'; readonly c: number; readonly n: number }
  /** All of them do, and are processed. */
  | { readonly k: 'commit'; readonly c: number }
  /** A device writes: nobody is told. */
  | { readonly k: 'dma'; readonly f: number; readonly s: number; readonly v: Value }
  /** Another vCPU writes to frame `f` at the moment before the monitor's protection of it takes effect (rule C3). */
  | { readonly k: 'race'; readonly f: number; readonly s: number; readonly v: Value }
  /**
   * As soon as the monitor's next protection takes effect, and before that call of it returns, a vCPU traps on its way to write
   * to frame `f`, where the monitor has it protected, or else to the very table that is being protected (rules C3, C4).
   */
  | { readonly k: 'within'; readonly f?: number; readonly s: number; readonly v: Value; readonly c: number }
  | ({ readonly k: 'monitor' } & Watch)
  | ({ readonly k: 'unmonitor' } & Watch)
  | ({ readonly k: 'force' } & Watch)
  /** `n` bytes from the address on. */
  | ({ readonly k: 'range'; readonly n: number; readonly runs?: boolean } & Watch)
  | ({ readonly k: 'unrange'; readonly n: number } & Watch)
  | { readonly k: 'unview' | 'newview' | 'killview'; readonly g: number }
  | { readonly k: 'unall' }
  | { readonly k: 'gone'; readonly r: number; readonly g?: number; readonly x?: number }
  | { readonly k: 'resync'; readonly g?: number };

export interface Program {
  readonly mode: PagingModeName;
  readonly physicalAddressBits?: number;
  readonly encryptionMask?: string;
  readonly noExecuteEnable?: boolean;
  readonly pageSizeExtensions?: boolean;
  readonly vendor?: 'intel' | 'amd';
  readonly gigabytePages?: boolean;
  readonly kinds?: readonly OptInKind[];
  /** `trap`: writes to protected frames trap. `report`: nothing is protected, the source reports. `poll`: nobody reports. */
  readonly source: 'trap' | 'report' | 'poll';
  /** Views 0 to `views` - 1 exist at the start. */
  readonly views: number;
  /** Frame numbers that entries name; the first `ram` of them are memory. */
  readonly frames: readonly number[];
  readonly ram: number;
  /** A frame (index) and a byte offset in it. */
  readonly roots: readonly (readonly [frame: number, offset: number])[];
  readonly slots: readonly number[];
  readonly vas: readonly string[];
  /** Access that a frame (index) has in a view before the monitor, where it is not everything. */
  readonly access?: readonly (readonly [view: number, frame: number, access: number])[];
  /** Decides the order in which everything is unmonitored at the end, before or after what is in flight has landed. */
  readonly end: number;
  readonly ops: readonly Op[];
}

/** As it is printed on failure and pasted into `regressions.ts`. */
export function printProgram(program: Program): string {
  const { ops, ...head } = program;
  const lines = ops.map((op) => `    ${JSON.stringify(op)},`);
  return `{\n  ...${JSON.stringify(head)},\n  "ops": [\n${lines.join('\n')}\n  ],\n}`;
}
