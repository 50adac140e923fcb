/** Files and shared memory: pages that several processes map. The cache's own reference keeps a page until it is dropped. */
import { paOf } from '../../../core/address/pa.ts';
import type { Steps } from '../../workload.ts';
import { FRAME_FILE, type FrameAllocator } from '../frames/frame-allocator.ts';
import type { KernelMemory } from '../tables/kernel-memory.ts';

const ASCII = new TextEncoder();

export class SharedFile {
  readonly name: string;
  /** Whether there is nothing behind it to read it from again: shared memory. */
  readonly volatile: boolean;
  readonly #pages = new Map<number, number>();

  constructor(name: string, volatile: boolean) {
    this.name = name;
    this.volatile = volatile;
  }

  /** Frames with pages of it. */
  get frames(): readonly number[] {
    return [...this.#pages.values()];
  }

  /** The frame with a page of it, where that is in memory. */
  cached(page: number): number | undefined {
    return this.#pages.get(page);
  }

  /** The same, retained for the caller, and read in where it is not in memory. Takes a frame at most. */
  *hold(page: number, vcpu: number, memory: KernelMemory, frames: FrameAllocator): Steps<number> {
    if (!this.#pages.has(page)) {
      const fresh = frames.take(FRAME_FILE);
      yield* memory.clearFrames(vcpu, fresh);
      yield* memory.write(vcpu, paOf(fresh), ASCII.encode(`${this.name}:${page}\n`));
      // Another vCPU may have read the same page meanwhile.
      if (this.#pages.has(page)) frames.drop(fresh);
      else this.#pages.set(page, fresh);
    }
    const gfn = this.#pages.get(page)!;
    frames.hold(gfn);
    return gfn;
  }

  /** Drops pages without a mapping, `most` at most. Returns how many. */
  shrink(frames: FrameAllocator, most: number): number {
    let dropped = 0;
    for (const [page, gfn] of this.#pages) {
      if (dropped >= most) break;
      if (frames.references(gfn) > 1) continue;
      this.#pages.delete(page);
      frames.drop(gfn);
      dropped++;
    }
    return dropped;
  }
}
