/** What the guest did and why, for displays and checks. A real guest does not show this to the outside. */
import { vaOf } from '../../core/address/va.ts';
import type { Process } from './space/process.ts';

export type GuestActionName =
  | 'boot'
  | 'reset'
  | 'spawn'
  | 'fork'
  | 'exec'
  | 'exit'
  | 'fault'
  | 'cow'
  | 'swap-in'
  | 'swap-out'
  | 'mmap'
  | 'munmap'
  | 'madvise'
  | 'mprotect'
  | 'mremap'
  | 'collapse'
  | 'split'
  | 'migrate'
  | 'dma'
  | 'vmalloc'
  | 'vfree'
  | 'slab'
  | 'reclaim';

/** One thing that the guest's kernel has begun to do. */
export interface GuestAction {
  /** Counts the guest's pieces of work from 1; one of them may be several actions, or none. */
  readonly step: number;
  readonly vcpu: number;
  /** 0 for the kernel itself. */
  readonly pid: number;
  /** Of the program; `kernel` for the kernel itself. */
  readonly name: string;
  readonly action: GuestActionName;
  /** Where, if it is about an address. */
  readonly va?: bigint;
  /** How much, in 4 KiB pages. */
  readonly pages?: number;
  /** Where to, for what moves (`mremap`). */
  readonly newVa?: bigint;
  /** The new process of a `fork`. */
  readonly child?: number;
}

/** Called at each action and store, while the guest is stopped. */
export interface GuestObserver {
  action?(action: GuestAction): void;
  /** A program has written these bytes; they are in memory. */
  store?(pid: number, va: bigint, bytes: Uint8Array): void;
}

/** Where an action happens, in pages. */
export interface Place {
  readonly vpn?: number;
  readonly pages?: number;
  readonly newVpn?: number;
  readonly child?: number;
}

/** An action as the kernel has noted it; converted to a record on demand. */
interface Note {
  readonly step: number;
  readonly vcpu: number;
  readonly pid: number;
  readonly name: string;
  readonly action: GuestActionName;
  readonly place: Place;
}

const NOWHERE: Place = {};

export class GuestLog {
  readonly #observers = new Set<GuestObserver>();
  readonly #current: (Note | undefined)[] = [];
  readonly #steps: number[] = [];
  /** Pieces of work begun so far. */
  step = 0;

  /** Adds an observer. Returns a function that removes it. */
  observe(observer: GuestObserver): () => void {
    this.#observers.add(observer);
    return () => void this.#observers.delete(observer);
  }

  /** A vCPU begins its next piece of work. */
  begin(vcpu: number): void {
    this.#steps[vcpu] = ++this.step;
    this.#current[vcpu] = undefined;
  }

  /** What a vCPU is doing, or did last; undefined before the first. */
  actionOn(vcpu: number): GuestAction | undefined {
    const note = this.#current[vcpu];
    return note && recordOf(note);
  }

  /** The kernel begins to do something. */
  note(vcpu: number, process: Process | undefined, action: GuestActionName, place: Place = NOWHERE): void {
    const { pid, name } = process ?? KERNEL;
    const note: Note = { step: this.#steps[vcpu] ?? 0, vcpu, pid, name, action, place };
    this.#current[vcpu] = note;
    if (this.#observers.size === 0) return;
    const record = recordOf(note);
    for (const observer of this.#observers) observer.action?.(record);
  }

  /** A program's write is in memory. */
  stored(process: Process, vpn: number, offset: number, bytes: Uint8Array): void {
    if (this.#observers.size === 0) return;
    for (const observer of this.#observers) observer.store?.(process.pid, vaOf(vpn, offset), bytes);
  }
}

const KERNEL = { pid: 0, name: 'kernel' };

function recordOf({ place, ...rest }: Note): GuestAction {
  const { vpn, pages, newVpn, child } = place;
  return {
    ...rest,
    ...(vpn !== undefined && { va: vaOf(vpn, 0) }),
    ...(pages !== undefined && { pages }),
    ...(newVpn !== undefined && { newVa: vaOf(newVpn, 0) }),
    ...(child !== undefined && { child }),
  };
}
