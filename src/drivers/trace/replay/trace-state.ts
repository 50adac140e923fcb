/** Memory and registers as a trace has them at one of its instants. */
import { frameOffsetOf, gfnOf } from '../../../core/address/pa.ts';
import { PtmonError } from '../../../core/error.ts';
import {
  type PhysicalMemory,
  READ_NO_MEMORY,
  READ_OK,
  type ReadOutcome,
} from '../../../core/memory/physical-memory.ts';
import type { PagingRegisters, RegisterAccess } from '../../../driver/driver.ts';
import type { TraceAbout } from '../format/about.ts';
import { corrupt } from '../format/corrupt.ts';
import type { SlotChange, StateRecord } from '../format/records.ts';
import type { ReplayLimits } from './limits.ts';

export class TraceState implements PhysicalMemory {
  readonly #limits: ReplayLimits;
  readonly #onUnknown: (gfn: number) => ReadOutcome;
  /** Null where there is no RAM. */
  readonly #frames = new Map<number, Uint32Array | null>();
  readonly #registers = new Map<number, PagingRegisters>();
  // The frame read last: entries are read in runs.
  #lastGfn = -1;
  #last: Uint32Array | null | undefined;

  /** @param onUnknown what a read of a frame that the trace does not have answers, or throws */
  constructor(limits: ReplayLimits, onUnknown: (gfn: number) => ReadOutcome) {
    this.#limits = limits;
    this.#onUnknown = onUnknown;
  }

  /** Frames in the picture that are RAM, ascending. */
  frames(): number[] {
    return [...this.#frames].flatMap(([gfn, words]) => (words === null ? [] : [gfn])).sort((a, b) => a - b);
  }

  /** What the trace has of them; undefined where its source had none. */
  registersOf({ vcpuCount, paging }: TraceAbout): RegisterAccess | undefined {
    if (vcpuCount === undefined) return undefined;
    const { physicalAddressBits } = paging;
    return {
      vcpuCount,
      ...(physicalAddressBits !== undefined && { physicalAddressBits }),
      readRegisters: (vcpu) => {
        const registers = this.#registers.get(vcpu);
        if (registers !== undefined && vcpu < vcpuCount) return registers;
        throw new PtmonError('bad-argument', `there is no vCPU ${vcpu} in the trace: the guest had ${vcpuCount}`, {
          vcpu,
        });
      },
    };
  }

  /** @throws PtmonError `corrupt-input` for a change of what is not in the picture */
  apply(records: readonly StateRecord[]): void {
    this.#lastGfn = -1;
    for (const record of records) {
      switch (record.type) {
        case 'table':
          this.#put(record.gfn, record.words);
          break;
        case 'no-memory':
          this.#put(record.gfn, null);
          break;
        case 'left':
          for (const gfn of record.gfns) if (this.#frames.delete(gfn)) this.#limits.holdTables(-1);
          break;
        case 'changes':
          for (const change of record.changes) this.#change(change);
          break;
        case 'registers':
          this.#registers.set(record.vcpu, record.registers);
          break;
      }
    }
  }

  readEntry(pa: number, byteLength: 4 | 8, out: Uint32Array): ReadOutcome {
    const gfn = gfnOf(pa);
    if (gfn !== this.#lastGfn) {
      this.#last = this.#frames.get(gfn);
      this.#lastGfn = gfn;
    }
    if (this.#last === undefined) return this.#onUnknown(gfn);
    if (this.#last === null) return READ_NO_MEMORY;
    const word = frameOffsetOf(pa) >>> 2;
    out[0] = this.#last[word]!;
    out[1] = byteLength === 8 ? this.#last[word + 1]! : 0;
    return READ_OK;
  }

  #put(gfn: number, words: Uint32Array | null): void {
    if (!this.#frames.has(gfn)) this.#limits.holdTables(1);
    this.#frames.set(gfn, words);
  }

  #change({ pa, lo, hi }: SlotChange): void {
    const words = this.#frames.get(gfnOf(pa));
    if (!words) throw corrupt(`a change at 0x${pa.toString(16)}, in a page table that the trace does not contain`);
    const word = frameOffsetOf(pa) >>> 2;
    words[word] = lo;
    words[word + 1] = hi;
  }
}
