/** One address space: its root tables, its areas, and who is working on it (the kernel's mm_struct). */
import { AreaList } from './area-list.ts';

export interface Roots {
  /** Physical address of the top-level table that the kernel runs on. */
  readonly root: number;
  /** Of the one that user code runs on, where page tables are isolated. */
  readonly userRoot: number | undefined;
  /** Of its own copy of the kernel's page directory, where it has one (PAE with a self-map). */
  readonly kernelTable: number | undefined;
  /** Low bits of CR3; 0 where the mode has none. */
  readonly pcid: number;
}

export class AddressSpace implements Roots {
  readonly root: number;
  readonly userRoot: number | undefined;
  readonly kernelTable: number | undefined;
  readonly pcid: number;
  readonly areas = new AreaList();
  /** Tables below its roots that are its own. */
  tables = 0;
  #readers = 0;
  #writing = false;

  constructor({ root, userRoot, kernelTable, pcid }: Roots) {
    this.root = root;
    this.userRoot = userRoot;
    this.kernelTable = kernelTable;
    this.pcid = pcid;
  }

  /** Both its roots, or the only one. */
  get roots(): readonly number[] {
    return this.userRoot === undefined ? [this.root] : [this.root, this.userRoot];
  }

  /** Whether anything is being done to it. */
  get busy(): boolean {
    return this.#writing || this.#readers > 0;
  }

  /** Whether its areas are being changed (mmap_lock taken for writing). */
  get changing(): boolean {
    return this.#writing;
  }

  /** Takes the lock (mmap_lock): shared by page faults, exclusive for what changes areas. Returns whether it was free. */
  tryLock(exclusive: boolean): boolean {
    if (this.#writing || (exclusive && this.#readers > 0)) return false;
    if (exclusive) this.#writing = true;
    else this.#readers++;
    return true;
  }

  unlock(exclusive: boolean): void {
    if (exclusive) this.#writing = false;
    else this.#readers--;
  }

  /** What CR3 holds while the kernel, or user code, runs in this space. */
  cr3(user: boolean): number {
    if (!user || this.userRoot === undefined) return this.root + this.pcid;
    return this.userRoot + (this.pcid === 0 ? 0 : this.pcid + USER_PCID);
  }
}

/** Isolated page tables have PCIDs of their own: bit 11 (arch/x86/mm/tlb.c, user_pcid). */
const USER_PCID = 0x800;
