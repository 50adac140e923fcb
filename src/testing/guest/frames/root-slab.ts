/**
 * PAE roots: 32 bytes each, 128 to a frame, so that bits 11:5 of CR3 tell the roots of one frame apart (the kernel's
 * pgd_cache, arch/x86/mm/pgtable.c).
 */
import { gfnOf, PAGE_BYTES, paOf } from '../../../core/address/pa.ts';
import { FRAME_TABLE, type FrameAllocator } from './frame-allocator.ts';

const ROOT_BYTES = 32;
const ROOTS = PAGE_BYTES / ROOT_BYTES;

export class RootSlab {
  readonly #frames: FrameAllocator;
  /** By frame: which of its roots are in use. */
  readonly #used = new Map<number, Set<number>>();

  constructor(frames: FrameAllocator) {
    this.#frames = frames;
  }

  /** Physical address of a root, below 4 GiB. */
  take(): number {
    for (const [gfn, used] of this.#used) if (used.size < ROOTS) return this.#takeFrom(gfn, used);
    const gfn = this.#frames.takeLow(FRAME_TABLE);
    const used = new Set<number>();
    this.#used.set(gfn, used);
    return this.#takeFrom(gfn, used);
  }

  give(root: number): void {
    const gfn = gfnOf(root);
    const used = this.#used.get(gfn);
    if (used?.delete((root % PAGE_BYTES) / ROOT_BYTES) && used.size === 0) {
      this.#used.delete(gfn);
      this.#frames.drop(gfn);
    }
  }

  #takeFrom(gfn: number, used: Set<number>): number {
    let slot = 0;
    while (used.has(slot)) slot++;
    used.add(slot);
    return paOf(gfn, slot * ROOT_BYTES);
  }
}
