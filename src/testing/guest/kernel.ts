/** The guest's kernel: everything that its parts share. */
import type { Paging } from '../../core/paging/format.ts';
import { makePaging } from '../../core/paging/format.ts';
import type { Machine } from '../machine/machine.ts';
import type { Random } from '../random.ts';
import type { Steps } from '../workload.ts';
import type { AddressSpace } from './space/address-space.ts';
import { EntryCodec } from './tables/entry.ts';
import { FrameAllocator } from './frames/frame-allocator.ts';
import type { GuestLog } from './guest-log.ts';
import { KernelMemory } from './tables/kernel-memory.ts';
import { type Layout, layoutFor } from './tables/layout.ts';
import type { Process } from './space/process.ts';
import { RootSlab } from './frames/root-slab.ts';
import { SharedFile } from './space/shared-file.ts';
import { SwapDevice } from './frames/swap-device.ts';

export interface KernelOptions {
  /** Two roots a process: one for the kernel, one for user code. */
  readonly isolation: boolean;
  /** A slot of each root points at the root itself. */
  readonly selfMap: boolean;
}

/** Memory that the kernel has mapped for itself. */
export interface KernelMapping {
  readonly start: number;
  readonly frames: readonly number[];
}

/** One vCPU that runs the kernel's code. */
export interface Cpu {
  readonly kernel: Kernel;
  readonly vcpu: number;
}

export class Kernel {
  readonly machine: Machine;
  readonly cpus: readonly Cpu[];
  readonly paging: Paging;
  readonly options: KernelOptions;
  readonly layout: Layout;
  readonly random: Random;
  readonly log: GuestLog;
  readonly memory: KernelMemory;
  readonly codec: EntryCodec;
  readonly frames: FrameAllocator;
  readonly rootSlab: RootSlab;
  readonly swap = new SwapDevice();
  readonly processes: Process[] = [];
  /** Every space whose kernel half follows the master's (the kernel's pgd_list). */
  readonly spaces = new Set<AddressSpace>();
  readonly mappings: KernelMapping[] = [];
  /** Frames of plain kernel data. */
  readonly slabs: number[] = [];
  nextPid = 1;
  /** A page of zeroes that every process may see: what a read of untouched memory maps. Never freed. */
  zeroPage = 0;
  /** Of this level and above, each space has tables of its own for the kernel half; those below are shared. */
  readonly ownLevel: number;
  readonly #files = new Map<string, SharedFile>();
  #rootsLocked = false;
  #master: AddressSpace | undefined;
  #userMaster: AddressSpace | undefined;

  constructor(machine: Machine, options: KernelOptions, random: Random, log: GuestLog) {
    this.machine = machine;
    this.cpus = machine.vcpus.map((_, vcpu) => ({ kernel: this, vcpu }));
    this.options = options;
    this.random = random;
    this.log = log;
    this.paging = makePaging({ mode: machine.mode, ...machine.features });
    this.layout = layoutFor(this.paging);
    this.memory = new KernelMemory(machine, this.paging);
    this.codec = new EntryCodec(this.paging);
    this.frames = new FrameAllocator(machine.ram);
    this.rootSlab = new RootSlab(this.frames);
    const { level } = this.paging.levels[0]!;
    this.ownLevel = this.smallRoots && options.selfMap ? level - 1 : level;
  }

  /** Whether a root is 32 bytes and its slots cannot take rights (PAE). */
  get smallRoots(): boolean {
    return this.paging.mode.rootShift !== 12;
  }

  /** The kernel's own space; its upper half is in every other. */
  get master(): AddressSpace {
    if (this.#master === undefined) throw new Error('the guest has not booted');
    return this.#master;
  }

  set master(space: AddressSpace) {
    this.#master = space;
  }

  /** What user roots see of the kernel, where page tables are isolated. */
  get userMaster(): AddressSpace | undefined {
    return this.#userMaster;
  }

  set userMaster(space: AddressSpace | undefined) {
    this.#userMaster = space;
  }

  /** The file of this name, or the shared memory (`volatile`); made when it is first asked for. */
  file(name: string, volatile = false): SharedFile {
    let file = this.#files.get(name);
    if (file === undefined) {
      file = new SharedFile(name, volatile);
      this.#files.set(name, file);
    }
    return file;
  }

  /** All files and shared memory that were ever asked for. */
  get files(): readonly SharedFile[] {
    return [...this.#files.values()];
  }

  /** Drops cached file pages without a mapping, `most` at most; those of shared memory only at the very end. */
  shrinkFiles(most: number, everything = false): void {
    let left = most;
    for (const file of this.#files.values()) {
      if (left <= 0) return;
      if (!file.volatile || everything) left -= file.shrink(this.frames, left);
    }
  }

  /** The process that lives in a space. */
  processIn(space: AddressSpace): Process | undefined {
    return this.processes.find((process) => process.space === space);
  }

  /** Takes the lock of the list of spaces and of the kernel half (pgd_lock); waits until it is free. */
  *lockRoots(): Steps {
    while (this.#rootsLocked) yield;
    this.#rootsLocked = true;
  }

  unlockRoots(): void {
    this.#rootsLocked = false;
  }

  /** What CR3 holds in this space: a root with its PCID, and the encryption bit where memory is encrypted. */
  cr3Of(space: AddressSpace, user: boolean): number {
    return space.cr3(user) + Number(this.paging.encryptionMask);
  }

  /** Runs a vCPU in this space from now on. */
  enter(vcpu: number, space: AddressSpace, user: boolean): void {
    this.machine.vcpus[vcpu]!.loadCr3(this.cr3Of(space, user));
  }

  /** One mapping of the frame less. */
  dropPage(gfn: number): void {
    if (gfn !== this.zeroPage) this.frames.drop(gfn);
  }
}
