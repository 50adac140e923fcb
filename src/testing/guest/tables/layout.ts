/** Where things are in an address space, as Linux places them (Documentation/arch/x86/x86_64/mm.rst). All in pages. */
import type { Paging } from '../../../core/paging/format.ts';

export interface Layout {
  /** First page of a program's text, before randomisation. */
  readonly text: number;
  /** First page behind the region that `mmap` fills downwards. */
  readonly mapTop: number;
  /** First page behind the stack, before randomisation. */
  readonly stackTop: number;
  /** Pages that randomisation may shift things by. */
  readonly spread: number;
  /** A region above 47 bits that a program may ask for (5-level paging); undefined elsewhere. */
  readonly farMap: number | undefined;
  /** First slot of a root that belongs to the kernel. */
  readonly kernelSlot: number;
  readonly directMap: number;
  readonly vmalloc: KernelRegion;
  /** In another slot of the root, where roots have more than one for the kernel. */
  readonly modules: KernelRegion;
  /** What user roots map of the kernel when page tables are isolated. */
  readonly entryArea: number;
  /** A gigabyte of device memory in one leaf; undefined where the mode has no such leaves. */
  readonly deviceWindow: number | undefined;
  /** First page of the window in which a self-map shows the page tables. */
  readonly selfMap: number;
}

export interface KernelRegion {
  readonly start: number;
  readonly pages: number;
}

const LONG = {
  text: 0x400,
  mapTop: 0x7ffff7fff,
  stackTop: 0x7ffffffff,
  spread: 0x4000,
  kernelSlot: 256,
  modules: { start: 0xffffffffa0000, pages: 0x4000 },
  entryArea: 0xfffffe0000000,
} as const;

const LEGACY = {
  text: 0x8048,
  mapTop: 0xb0000,
  stackTop: 0xc0000,
  spread: 0x800,
  farMap: undefined,
  directMap: 0xc0000,
  vmalloc: { start: 0xf8000, pages: 0x2000 },
  modules: { start: 0xfc000, pages: 0x1000 },
  entryArea: 0xffa00,
  deviceWindow: undefined,
  selfMap: 0xf0000,
} as const;

/** The slot of the root that points at the root itself; Windows used this one for years. */
export const SELF_SLOT = 0x1ed;

/** Slots of the kernel's PAE page directory that show the four page directories. */
export const PAE_SELF_SLOT = 0x180;

export function layoutFor(paging: Paging): Layout {
  const { slotPages, slots } = paging.levels[0]!;
  const selfMap = paging.highStart + (SELF_SLOT - slots / 2) * slotPages;
  switch (paging.mode.name) {
    case '5-level':
      return {
        ...LONG,
        selfMap,
        farMap: 0xf000000000,
        directMap: 0xff11000000000,
        vmalloc: { start: 0xffa0000000000, pages: 0x10000 },
        deviceWindow: 0xffa0000040000,
      };
    case '4-level':
      return {
        ...LONG,
        selfMap,
        farMap: undefined,
        directMap: 0xffff888000000,
        vmalloc: { start: 0xffffc90000000, pages: 0x10000 },
        deviceWindow: 0xffffc90040000,
      };
    case 'pae':
      return { ...LEGACY, kernelSlot: 3 };
    case '32-bit':
      return { ...LEGACY, kernelSlot: 768 };
  }
}
