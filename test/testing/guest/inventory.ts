/**
 * What is in the guest's memory, found out by reading it: every table and every page that its roots reach. Compared with what
 * the guest's frame allocator believes. Reads entries by hand, so that it shares nothing with the guest's own code.
 */
import { PAGING_MODES } from '../../../src/core/paging/modes.ts';
import {
  FRAME_ANON,
  FRAME_FILE,
  FRAME_FREE,
  FRAME_KERNEL,
  FRAME_TABLE,
} from '../../../src/testing/guest/frames/frame-allocator.ts';
import { PAE_SELF_SLOT } from '../../../src/testing/guest/tables/layout.ts';
import type { Stressed } from './process-reader.ts';

const PRESENT = 1n;
const LARGE = 0x80n;
const PROT_NONE = 0x100n;

export interface Inventory {
  /** Frames that are tables, each as often as an entry (or a root) names it. */
  readonly tables: Map<number, number>;
  /** Frames that user leaves map, each as often as it is mapped; those of large pages one by one. */
  readonly pages: Map<number, number>;
  /** Swap slots, each as often as an entry names it. */
  readonly swap: Map<number, number>;
}

/** Everything below the user half of every process's roots, and below the kernel's own. */
export function takeInventory(driver: Stressed): Inventory {
  const { kernel } = driver.guest;
  const inventory: Inventory = { tables: new Map(), pages: new Map(), swap: new Map() };
  const { kernelSlot } = kernel.layout;
  for (const space of kernel.spaces) {
    for (const root of space.roots) count(inventory.tables, Math.floor(root / 4096));
    if (space.kernelTable !== undefined) count(inventory.tables, space.kernelTable / 4096);
    descend(driver, inventory, { table: space.root, depth: 0, from: 0, to: kernelSlot, user: true });
  }
  for (const master of [kernel.master, kernel.userMaster]) {
    if (master === undefined) continue;
    count(inventory.tables, master.root / 4096);
    const slots = kernel.paging.levels[0]!.slots;
    descend(driver, inventory, { table: master.root, depth: 0, from: kernelSlot, to: slots, user: false });
  }
  return inventory;
}

/** Slots of a table. */
interface TablePart {
  readonly table: number;
  readonly depth: number;
  readonly from: number;
  readonly to: number;
  readonly user: boolean;
}

function descend(driver: Stressed, inventory: Inventory, { table, depth, from, to, user }: TablePart): void {
  const mode = PAGING_MODES[driver.machine.mode];
  const rules = mode.tables[depth]!;
  const mask = 0xf_ffff_ffff_f000n & ~(driver.machine.features.encryptionMask ?? 0n);
  const below = mode.tables.slice(depth + 1).reduce((pages, next) => pages * 2 ** next.indexBits, 1);
  const words = driver.machine.page(Math.floor(table / 4096)) ?? new Uint32Array(1024);
  const [first, width] = [(table % 4096) / 4, mode.entryBytes / 4];
  for (let slot = from; slot < to; slot++) {
    // Most of them are empty.
    const at = first + slot * width;
    if (words[at] === 0 && words[at + width - 1] === 0) continue;
    const entry = read(driver, table + slot * mode.entryBytes, mode.entryBytes);
    const leaf = rules.leaf === 'always' || (rules.leaf === 'page-size-bit' && (entry & LARGE) !== 0n);
    const gfn = Number((entry & mask) >> 12n);
    if ((entry & PRESENT) === 0n) {
      if (!user || below > 1)
        throw new Error(`entry 0x${entry.toString(16)} of a ${rules.name} is neither present nor zero`);
      if (entry & PROT_NONE) count(inventory.pages, mode.entryBytes === 8 ? Number((~entry & mask) >> 12n) : gfn);
      else count(inventory.swap, mode.entryBytes === 8 ? Number((~entry >> 9n) & 0x7fffffn) : Number(entry >> 9n));
    } else if (!leaf) {
      count(inventory.tables, gfn);
      const next = mode.tables[depth + 1]!;
      descend(driver, inventory, { table: gfn * 4096, depth: depth + 1, from: 0, to: 2 ** next.indexBits, user });
    } else if (user) {
      for (let n = 0; n < below; n++) count(inventory.pages, gfn + n);
    }
  }
}

function read(driver: Stressed, pa: number, byteLength: 4 | 8): bigint {
  const page = driver.machine.memory.page(Math.floor(pa / 4096));
  if (page === undefined) throw new Error(`a table is outside RAM, at 0x${pa.toString(16)}`);
  const word = (pa % 4096) / 4;
  return byteLength === 4 ? BigInt(page[word]!) : (BigInt(page[word + 1]!) << 32n) | BigInt(page[word]!);
}

function count(counts: Map<number, number>, key: number): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** Everything in which memory and the allocator disagree, in words. Only meaningful while no vCPU is in the middle of anything. */
export function disagreements(driver: Stressed): string[] {
  const { kernel } = driver.guest;
  const { frames, zeroPage } = kernel;
  const { tables, pages, swap } = takeInventory(driver);
  const wrong: string[] = [];
  const say = (gfn: number, what: string) => wrong.push(`frame 0x${gfn.toString(16)} ${what}`);

  for (const [gfn, times] of tables) {
    if (frames.kindOf(gfn) !== FRAME_TABLE) say(gfn, `is a table, and of kind ${frames.kindOf(gfn)}`);
    const small = kernel.smallRoots && !kernel.options.isolation && frames.references(gfn) === 1;
    if (times > 1 && !small) say(gfn, `is a table in ${times} places`);
  }
  for (const gfn of frames.ofKind(FRAME_TABLE))
    if (!tables.has(gfn)) say(gfn, 'is kept as a table, and no root reaches it');

  for (const [gfn, times] of pages) {
    if (gfn === zeroPage) continue;
    const kind = frames.kindOf(gfn);
    if (kind === FRAME_FREE) say(gfn, 'is mapped, and free');
    else if (kind !== FRAME_ANON && kind !== FRAME_FILE) say(gfn, `is mapped by a process, and of kind ${kind}`);
    const held = frames.references(gfn) - (kind === FRAME_FILE ? 1 : 0);
    if (held !== times) say(gfn, `is mapped ${times} times, and held ${held} times`);
  }
  for (const gfn of frames.ofKind(FRAME_ANON))
    if (!pages.has(gfn)) say(gfn, 'is kept as a private page, and nobody maps it');

  const cached = new Set(kernel.files.flatMap((file) => file.frames));
  for (const gfn of cached)
    if (frames.kindOf(gfn) !== FRAME_FILE) say(gfn, `holds a page of a file, and is of kind ${frames.kindOf(gfn)}`);
  for (const gfn of frames.ofKind(FRAME_FILE))
    if (!cached.has(gfn)) say(gfn, 'is kept as a page of a file, and no file has it');

  const kernelFrames = [
    ...kernel.mappings.flatMap((one) => one.frames),
    ...kernel.slabs.flatMap((gfn) => [gfn, gfn + 1]),
  ];
  const known = new Set(kernelFrames);
  const own = [...frames.ofKind(FRAME_KERNEL)].filter((gfn) => !known.has(gfn));
  // The zero page and the two pages of entry code.
  if (own.length !== 3) wrong.push(`the kernel keeps ${own.length} frames of its own instead of 3`);

  if (swap.size !== kernel.swap.used)
    wrong.push(`entries name ${swap.size} swap slots, ${kernel.swap.used} are in use`);
  return wrong;
}

/**
 * What the upper half of each space looks like from its own root, the master's first: the entries of every table that it has
 * for itself. A self-map is each space's own, and left out.
 */
export function kernelHalves(driver: Stressed): string[][] {
  const { kernel } = driver.guest;
  const { kernelSlot, selfMap } = kernel.layout;
  const mode = PAGING_MODES[driver.machine.mode];
  const top = kernel.paging.levels[0]!;
  return [kernel.master, ...kernel.spaces].map((space) => {
    const entries: string[] = [];
    const add = (table: number, first: number, slots: number, skip: (slot: number) => boolean) => {
      for (let slot = first; slot < slots; slot++) {
        if (!skip(slot)) entries.push(withoutAccessed(read(driver, table + slot * mode.entryBytes, mode.entryBytes)));
      }
    };
    if (kernel.ownLevel === top.level) {
      const self = kernel.options.selfMap ? Math.floor(selfMap / top.slotPages) % top.slots : -1;
      add(space.root, kernelSlot, top.slots, (slot) => slot === self);
    } else {
      const directory = read(driver, space.root + kernelSlot * 8, 8) & 0xf_ffff_ffff_f000n;
      add(Number(directory), 0, 512, (slot) => slot >= PAE_SELF_SLOT && slot < PAE_SELF_SLOT + 4);
    }
    return entries;
  });
}

function withoutAccessed(entry: bigint): string {
  return (entry & ~0x60n).toString(16);
}
