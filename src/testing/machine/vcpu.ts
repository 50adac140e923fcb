/** One virtual processor: its control registers, the view it runs in, and the write that it is in the middle of. */
import { PtmonError } from '../../core/error.ts';
import { makePaging, type Paging, type PagingOptions, rootOf } from '../../core/paging/format.ts';
import { pagingFromRegisters } from '../../core/paging/registers.ts';
import type { PagingRegisters } from '../../driver/driver.ts';
import { CR0_WP, RESET_REGISTERS } from './registers.ts';

/** A write that has trapped and is not in memory yet. */
export interface InFlightWrite {
  readonly pa: number;
  readonly bytes: Uint8Array;
  /** Called when it is. */
  readonly landed: (() => void) | undefined;
}

/** What CPUID says that registers do not. */
export type PagingFeatures = Pick<PagingOptions, 'physicalAddressBits' | 'encryptionMask'>;

export class Vcpu {
  readonly id: number;
  /** The view that its memory accesses go through. */
  view = 0;
  inFlight: InFlightWrite | undefined;
  readonly #features: PagingFeatures;
  #registers: PagingRegisters = RESET_REGISTERS;
  #cr3 = 0;
  #paging: Paging | undefined;
  #root = 0;
  #writeProtect = false;

  constructor(id: number, features: PagingFeatures) {
    this.id = id;
    this.#features = features;
  }

  get registers(): PagingRegisters {
    return { ...this.#registers, cr3: BigInt(this.#cr3) };
  }

  /** How it translates now; undefined while paging is off. */
  get paging(): Paging | undefined {
    return this.#paging;
  }

  /** Physical address of its top-level table. */
  get root(): number {
    return this.#root;
  }

  /** CR0.WP: whether read-only pages stop the supervisor too. */
  get writeProtect(): boolean {
    return this.#writeProtect;
  }

  /** Loads all four registers. @throws PtmonError `bad-argument` for a CR3 of 2^53 or more, which no guest here uses */
  load(registers: PagingRegisters): void {
    const options = pagingFromRegisters(registers);
    this.#paging = options && makePaging({ ...options, ...this.#features });
    this.#registers = registers;
    this.#writeProtect = (registers.cr0 & CR0_WP) !== 0n;
    this.#setCr3(Number(registers.cr3));
  }

  /** MOV to CR3: a root, and in its low bits the PCID. @throws PtmonError `bad-argument` */
  loadCr3(cr3: number): void {
    if (cr3 !== this.#cr3) this.#setCr3(cr3);
  }

  /** As after power-up; a write in flight is lost. Its view is the hypervisor's and stays. */
  reset(): void {
    this.inFlight = undefined;
    this.load(RESET_REGISTERS);
  }

  #setCr3(cr3: number): void {
    if (!Number.isSafeInteger(cr3) || cr3 < 0) {
      throw new PtmonError('bad-argument', `CR3 value ${cr3} is not an exact unsigned integer`, { vcpu: this.id });
    }
    this.#cr3 = cr3;
    // Rounded down first, a PCID costs nothing: `rootOf` has a short way for a value that is a root already.
    const paging = this.#paging;
    this.#root = paging === undefined ? cr3 : rootOf(paging, cr3 - (cr3 % 2 ** paging.mode.rootShift));
  }
}
