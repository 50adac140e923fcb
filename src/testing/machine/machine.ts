/**
 * The simulated machine: RAM, vCPUs, views, and what the hypervisor under it reports.
 *
 * A write to a frame that is not writable in the vCPU's view does not happen: it is reported, and waits in the vCPU until
 * `commit` performs it, as a trap and a single step do. In between, other vCPUs may run, trap, and commit.
 */
import { gfnOf, PAGE_BYTES, paOf } from '../../core/address/pa.ts';
import { PtmonError } from '../../core/error.ts';
import { SparseMemory } from '../../core/memory/sparse-memory.ts';
import type { PagingModeName } from '../../core/paging/modes.ts';
import type { PagingRegisters, RegisterAccess, SourceEvent } from '../../driver/driver.ts';
import { HIGH_RAM_GFN, memoryMap, type RamRange } from './memory-map.ts';
import { type Fault, translate } from './mmu.ts';
import { type PagingFeatures, Vcpu } from './vcpu.ts';
import { Views } from './views.ts';

export interface MachineOptions extends PagingFeatures {
  /** What its operating system will switch on; default `4-level`. */
  readonly mode?: PagingModeName;
  /** Default 1; at most 16. */
  readonly vcpus?: number;
  /** Views that exist from the start, numbered from 0; default 1. */
  readonly views?: number;
  /** Frames of RAM; default 8192 (32 MiB). Half of them are above 4 GiB, except in legacy 32-bit paging. */
  readonly memoryFrames?: number;
}

/** One piece of a device's transfer. */
export interface Transfer {
  readonly pa: number;
  readonly bytes: Uint8Array;
}

const MAX_VCPUS = 16;
const NOTHING: readonly SourceEvent[] = [];

export class Machine implements RegisterAccess {
  readonly mode: PagingModeName;
  readonly features: PagingFeatures;
  readonly memory = new SparseMemory();
  readonly ram: readonly RamRange[];
  readonly views = new Views();
  readonly vcpus: readonly Vcpu[];
  /** How often it was reset. */
  resets = 0;
  // The pages of `memory` once more: an index is found in a tenth of the time of a map's key.
  readonly #low: (Uint32Array | undefined)[] = [];
  readonly #high: (Uint32Array | undefined)[] = [];
  #events: SourceEvent[] = [];

  /** @throws PtmonError `bad-argument` */
  constructor(options: MachineOptions = {}) {
    const {
      mode = '4-level',
      vcpus = 1,
      views = 1,
      memoryFrames = 8192,
      physicalAddressBits,
      encryptionMask,
    } = options;
    this.mode = mode;
    this.features = {
      ...(physicalAddressBits !== undefined && { physicalAddressBits }),
      ...(encryptionMask !== undefined && { encryptionMask }),
    };
    this.ram = memoryMap(memoryFrames, mode !== '32-bit' && physicalAddressBits !== 32);
    for (const { gfn, frames } of this.ram) {
      const pages = gfn < HIGH_RAM_GFN ? this.#low : this.#high;
      for (let at = gfn; at < gfn + frames; at++) pages[at % HIGH_RAM_GFN] = this.memory.addPage(at);
    }
    const count = wholeNumber(vcpus, 'vcpus', MAX_VCPUS);
    this.vcpus = Array.from({ length: count }, (_, id) => new Vcpu(id, this.features));
    for (let view = wholeNumber(views, 'views', 1024); view > 1; view--) this.views.create();
  }

  get vcpuCount(): number {
    return this.vcpus.length;
  }

  readRegisters(vcpu: number): PagingRegisters {
    return this.vcpu(vcpu).registers;
  }

  /** The 1,024 words of a frame, live; undefined where there is no RAM. */
  page(gfn: number): Uint32Array | undefined {
    return gfn < HIGH_RAM_GFN ? this.#low[gfn] : this.#high[gfn - HIGH_RAM_GFN];
  }

  /** @throws PtmonError `bad-argument` for a vCPU that does not exist */
  vcpu(id: number): Vcpu {
    const vcpu = this.vcpus[id];
    if (vcpu === undefined) throw new PtmonError('bad-argument', `vCPU ${id} does not exist`, { vcpu: id });
    return vcpu;
  }

  /** Runs a vCPU in another view from now on. @throws PtmonError `no-such-view`, `bad-argument` */
  switchView(vcpu: number, view: number): void {
    if (!this.views.has(view)) throw new PtmonError('no-such-view', `view ${view} does not exist`, { view, vcpu });
    this.vcpu(vcpu).view = view;
  }

  /** Destroys a view; vCPUs in it go back to view 0. @throws PtmonError `no-such-view`, `bad-argument` */
  destroyView(view: number): void {
    this.views.destroy(view);
    for (const vcpu of this.vcpus) if (vcpu.view === view) vcpu.view = 0;
  }

  /** One access of a vCPU through its MMU: the frame behind page `vpn`, or a fault (`FOR_WRITE`, …, are summed). */
  translate(vcpu: number, vpn: number, access: number): number | Fault {
    return translate(this, this.vcpu(vcpu), vpn, access);
  }

  /**
   * A vCPU writes bytes, of any number and anywhere; what is not RAM swallows them.
   *
   * @param landed called when the bytes are in memory
   * @returns whether it trapped: then nothing is written until `commit`
   * @throws PtmonError `bad-argument` while the vCPU has a write in flight: it is stopped
   */
  write(vcpu: number, pa: number, bytes: Uint8Array, landed?: () => void): boolean {
    const cpu = this.#running(vcpu);
    if (bytes.length === 0) return false;
    if (!this.views.traps(cpu.view, gfnOf(pa), gfnOf(pa + bytes.length - 1))) {
      this.#store(pa, bytes);
      landed?.();
      return false;
    }
    this.#trap(cpu, pa, bytes.slice(), landed);
    return true;
  }

  /** The same for one naturally aligned value of 4 bytes, or with its high word of 8. */
  writeEntry(vcpu: number, pa: number, lo: number, hi?: number): boolean {
    const cpu = this.#running(vcpu);
    const gfn = gfnOf(pa);
    if (this.views.traps(cpu.view, gfn, gfn)) {
      this.#trap(cpu, pa, littleEndian(lo, hi));
      return true;
    }
    const page = this.page(gfn);
    if (page !== undefined) {
      const word = (pa % PAGE_BYTES) >>> 2;
      page[word] = lo;
      if (hi !== undefined) page[word + 1] = hi;
    }
    return false;
  }

  /** The same for a whole frame, from 1,024 words. */
  writeFrame(vcpu: number, gfn: number, words: Uint32Array): boolean {
    const cpu = this.#running(vcpu);
    if (this.views.traps(cpu.view, gfn, gfn)) {
      this.#trap(cpu, paOf(gfn), new Uint8Array(words.slice().buffer));
      return true;
    }
    this.page(gfn)?.set(words);
    return false;
  }

  /** The single step: the vCPU's write in flight goes to memory. Without one, does nothing. */
  commit(vcpu: number): void {
    const cpu = this.vcpu(vcpu);
    if (cpu.inFlight === undefined) return;
    const { pa, bytes, landed } = cpu.inFlight;
    this.#store(pa, bytes);
    cpu.inFlight = undefined;
    landed?.();
    this.report({ kind: 'commit', vcpu });
  }

  /** A device writes to memory: nothing traps, the tables that it may have changed are reported as missed. */
  dma(transfers: readonly Transfer[]): void {
    for (const { pa, bytes } of transfers) this.#store(pa, bytes);
    this.report({ kind: 'missed', reason: 'dma', lost: null });
  }

  /**
   * The reset line: writes in flight retire, then memory is cleared and every vCPU is as after power-up. Views and their
   * permissions are the hypervisor's and stay.
   */
  reset(): void {
    this.settle();
    for (const vcpu of this.vcpus) vcpu.reset();
    for (const { gfn, frames } of this.ram) for (let at = gfn; at < gfn + frames; at++) this.page(at)!.fill(0);
    this.resets++;
    this.report({ kind: 'missed', reason: 'reset', lost: null });
  }

  /** Commits every write in flight. */
  settle(): void {
    for (const vcpu of this.vcpus) this.commit(vcpu.id);
  }

  /** Adds to what the driver yields next. */
  report(event: SourceEvent): void {
    this.#events.push(event);
  }

  /** What was reported since the last call. */
  takeEvents(): readonly SourceEvent[] {
    if (this.#events.length === 0) return NOTHING;
    const events = this.#events;
    this.#events = [];
    return events;
  }

  #running(vcpu: number): Vcpu {
    const cpu = this.vcpu(vcpu);
    if (cpu.inFlight !== undefined) {
      throw new PtmonError('bad-argument', `vCPU ${vcpu} is stopped in a trap and cannot write`, { vcpu });
    }
    return cpu;
  }

  #trap(cpu: Vcpu, pa: number, bytes: Uint8Array, landed?: () => void): void {
    cpu.inFlight = { pa, bytes, landed };
    this.report({ kind: 'write', vcpu: cpu.id, view: cpu.view, pa, byteLength: bytes.length });
  }

  #store(pa: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const at = pa + done;
      const length = Math.min(bytes.length - done, PAGE_BYTES - (at % PAGE_BYTES));
      const part = length === bytes.length ? bytes : bytes.subarray(done, done + length);
      if (this.page(gfnOf(at)) !== undefined) this.memory.write(at, part);
      done += length;
    }
  }
}

function littleEndian(lo: number, hi: number | undefined): Uint8Array {
  const bytes = new Uint8Array(hi === undefined ? 4 : 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, lo, true);
  if (hi !== undefined) view.setUint32(4, hi, true);
  return bytes;
}

function wholeNumber(value: number, what: string, max: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw new PtmonError('bad-argument', `${what} ${value} is not an integer from 1 to ${max}`);
}
