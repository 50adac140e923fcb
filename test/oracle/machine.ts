/** The machine that programs run on: memory, views that trap writes, vCPUs with writes in flight, and faults on demand. */
import { PtmonError } from '../../src/core/error.ts';
import { ACCESS_ALL, ACCESS_WRITE, type PageProtection } from '../../src/core/memory/page-access.ts';
import {
  type PhysicalMemory,
  READ_NO_MEMORY,
  READ_NOT_FETCHED,
  READ_OK,
  type ReadOutcome,
} from '../../src/core/memory/physical-memory.ts';
import type { SourceCall } from './fault-at.ts';
import { Mismatch } from './mismatch.ts';

/** Which calls of the source fail: those numbered `from` to `from + count - 1`, counted from the program's start. */
export interface FaultPlan {
  readonly call: SourceCall;
  readonly from: number;
  readonly count: number;
}

/** What a failing source throws. */
export class SourceFailure extends Error {
  override readonly name = 'SourceFailure';
}

interface Write {
  readonly pa: number;
  readonly bytes: Uint8Array;
  landed: boolean;
}

const FRAME = 4096;

export class Machine implements PhysicalMemory, PageProtection {
  /** Calls answered so far, failed ones included. */
  readonly calls: Record<SourceCall, number> = { read: 0, get: 0, set: 0, late: 0 };
  plan: FaultPlan | undefined;
  /** How many calls the plan has failed. */
  fired = 0;
  /** Frames whose content is here; undefined where memory is local. */
  fetched: Set<number> | undefined;
  /** Where the last attempt to set an access has failed: `view:frame`. */
  readonly failedSets = new Set<string>();
  /** Called before a protection takes effect, and told its frame (rule C3). */
  beforeProtect: ((gfn: number) => void) | undefined;
  /** Called as soon as a protection has taken something away, before the monitor knows. */
  afterProtect: ((gfn: number) => void) | undefined;
  readonly #frames = new Map<number, DataView>();
  readonly #entryBytes: 4 | 8;
  readonly #access = new Map<number, Map<number, number>>();
  readonly #original = new Map<number, Map<number, number>>();
  readonly #inFlight = new Map<number, Write[]>();

  constructor(entryBytes: 4 | 8, ram: readonly number[]) {
    this.#entryBytes = entryBytes;
    for (const gfn of ram) this.#frames.set(gfn, new DataView(new ArrayBuffer(FRAME)));
  }

  isRam(gfn: number): boolean {
    return this.#frames.has(gfn);
  }

  /** For the oracle: an entry, or undefined where there is no memory. Never fails, never counted. */
  peek(pa: bigint, bytes: number): bigint | undefined {
    const frame = this.#frames.get(Number(pa / 4096n));
    const offset = Number(pa % 4096n);
    return bytes === 8 ? frame?.getBigUint64(offset, true) : frame && BigInt(frame.getUint32(offset, true));
  }

  /** Bytes into memory, at once. What is not RAM swallows them. */
  poke(pa: number, bytes: Uint8Array): void {
    for (const [at, part] of this.byFrame(pa, bytes)) {
      const frame = this.#frames.get(Math.floor(at / FRAME));
      if (frame !== undefined) new Uint8Array(frame.buffer).set(part, at % FRAME);
    }
  }

  /** A write taken apart where frames meet. */
  byFrame(pa: number, bytes: Uint8Array): [pa: number, bytes: Uint8Array][] {
    const parts: [number, Uint8Array][] = [];
    for (let done = 0; done < bytes.length; done += parts.at(-1)![1].length) {
      parts.push([pa + done, bytes.subarray(done, done + FRAME - ((pa + done) % FRAME))]);
    }
    return parts;
  }

  readEntry(pa: number, byteLength: 4 | 8, out: Uint32Array): ReadOutcome {
    this.#mayFail('read');
    if (byteLength !== this.#entryBytes || pa % byteLength !== 0)
      throw new Mismatch('C5', `read of ${byteLength} bytes at ${pa}`);
    const gfn = Math.floor(pa / FRAME);
    if (this.fetched !== undefined && !this.fetched.has(gfn)) return READ_NOT_FETCHED;
    const frame = this.#frames.get(gfn);
    if (frame === undefined) return READ_NO_MEMORY;
    out[0] = frame.getUint32(pa % FRAME, true);
    out[1] = byteLength === 8 ? frame.getUint32((pa % FRAME) + 4, true) : 0;
    return READ_OK;
  }

  getAccess(view: number, gfn: number): number {
    this.#mayFail('get');
    return this.#viewOrThrow(view).get(gfn) ?? ACCESS_ALL;
  }

  setAccess(view: number, gfn: number, access: number): void {
    this.failedSets.add(`${view}:${gfn}`);
    this.#mayFail('set');
    this.failedSets.delete(`${view}:${gfn}`);
    const its = this.#viewOrThrow(view);
    const original = this.originalAccess(view, gfn);
    if (access !== original && access !== (original & ~ACCESS_WRITE)) {
      throw new Mismatch('C2', `access of frame ${gfn} in view ${view} set to ${access}, where it was ${original}`);
    }
    if ((access & ACCESS_WRITE) === 0) this.beforeProtect?.(gfn);
    its.set(gfn, access);
    if (access !== original) this.afterProtect?.(gfn);
    this.#mayFail('late');
  }

  addView(view: number, access: readonly (readonly [gfn: number, access: number])[] = []): void {
    this.#access.set(view, new Map(access));
    this.#original.set(view, new Map(access));
  }

  removeView(view: number): void {
    this.#access.delete(view);
    this.#original.delete(view);
  }

  hasView(view: number): boolean {
    return this.#access.has(view);
  }

  views(): number[] {
    return [...this.#access.keys()];
  }

  originalAccess(view: number, gfn: number): number {
    return this.#original.get(view)?.get(gfn) ?? ACCESS_ALL;
  }

  access(view: number, gfn: number): number {
    return this.#access.get(view)?.get(gfn) ?? ACCESS_ALL;
  }

  /** Every frame whose access is not what it was before the monitor, as `view:gfn`. */
  changedAccess(): string[] {
    const changed: string[] = [];
    for (const [view, frames] of this.#access) {
      for (const [gfn, access] of frames) if (access !== this.originalAccess(view, gfn)) changed.push(`${view}:${gfn}`);
    }
    return changed.sort();
  }

  /** The first view in which a write to the frame traps. `preferred` where that is one. */
  trappingView(gfn: number, preferred: number): number | undefined {
    const traps = (view: number) => this.hasView(view) && (this.access(view, gfn) & ACCESS_WRITE) === 0;
    return traps(preferred) ? preferred : this.views().find(traps);
  }

  /** The vCPU has trapped on its way to this write. */
  trap(vcpu: number, pa: number, bytes: Uint8Array): void {
    this.#inFlight.set(vcpu, [...(this.#inFlight.get(vcpu) ?? []), { pa, bytes, landed: false }]);
  }

  /** The next `n` writes in flight of this vCPU are in memory now. */
  land(vcpu: number, n = Infinity): void {
    for (const write of (this.#inFlight.get(vcpu) ?? []).filter((one) => !one.landed).slice(0, n)) {
      this.poke(write.pa, write.bytes);
      write.landed = true;
    }
  }

  /** The vCPU's writes are processed. */
  committed(vcpu: number): void {
    this.#inFlight.delete(vcpu);
  }

  /** vCPUs with writes that were trapped and not processed. */
  busyVcpus(): number[] {
    return [...this.#inFlight.keys()];
  }

  #mayFail(call: SourceCall): void {
    const number = this.calls[call]++;
    if (this.plan === undefined || this.plan.call !== call) return;
    if (number >= this.plan.from && number < this.plan.from + this.plan.count) {
      this.fired += 1;
      throw new SourceFailure(`${call} ${number} fails`);
    }
  }

  #viewOrThrow(view: number): Map<number, number> {
    const its = this.#access.get(view);
    if (its === undefined) throw new PtmonError('no-such-view', `view ${view} does not exist`, { view });
    return its;
  }
}
