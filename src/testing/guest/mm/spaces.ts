/** Making and unmaking the roots of an address space (the kernel's pgd_alloc and pgd_free). */
import { gfnOf, PAGE_BYTES, paOf } from '../../../core/address/pa.ts';
import { tableGfn } from '../../../core/paging/format.ts';
import type { Steps } from '../../workload.ts';
import { AddressSpace, type Roots } from '../space/address-space.ts';
import { ACCESSED, DIRTY, NO_EXECUTE, PRESENT, WRITABLE } from '../tables/entry.ts';
import { FRAME_TABLE } from '../frames/frame-allocator.ts';
import type { Cpu, Kernel } from '../kernel.ts';
import { PAE_SELF_SLOT, SELF_SLOT } from '../tables/layout.ts';
import { ensureTables } from '../tables/tables.ts';

/** Frames that a new space takes at most. */
export const SPACE_FRAMES = 8;

/** A space without areas, its kernel half as in every space; undefined when no two neighbouring frames are free for its roots. */
export function* createSpace(cpu: Cpu, pid: number): Steps<AddressSpace | undefined> {
  const { kernel } = cpu;
  yield* kernel.lockRoots();
  const roots = takeRoots(kernel, pid);
  if (roots !== undefined) {
    yield* writeRoots(cpu, roots);
    const space = new AddressSpace(roots);
    kernel.spaces.add(space);
    if (kernel.smallRoots) yield* addDirectories(cpu, space);
    if (kernel.options.selfMap) yield* mapSelf(cpu, space);
    kernel.unlockRoots();
    return space;
  }
  kernel.unlockRoots();
  return undefined;
}

/** Frees the roots of a space in which nothing is mapped any more, and reports that they are gone. */
export function* destroySpace(cpu: Cpu, space: AddressSpace): Steps {
  const { kernel, vcpu } = cpu;
  const { frames, machine, memory, rootSlab } = kernel;
  yield* kernel.lockRoots();
  kernel.spaces.delete(space);
  if (space.kernelTable !== undefined) {
    // Its own page directory goes; the root, in its last moments, has the master's.
    memory.load(kernel.master.root + 24);
    yield* memory.set(vcpu, space.root + 24, memory.lo, memory.hi);
    frames.drop(gfnOf(space.kernelTable));
  }
  for (const cpu of machine.vcpus) if (space.roots.includes(cpu.root)) kernel.enter(cpu.id, kernel.master, false);
  for (const root of space.roots) {
    if (rootBytes(kernel) === PAGE_BYTES) frames.drop(gfnOf(root));
    else rootSlab.give(root);
    machine.report({ kind: 'root-gone', root });
  }
  kernel.unlockRoots();
  // A watcher gets the report before the frames are reused.
  yield;
}

function takeRoots(kernel: Kernel, pid: number): Roots | undefined {
  const { frames, options, paging, rootSlab } = kernel;
  const pcid = paging.mode.canonical ? (pid % 2047) + 1 : 0;
  const kernelTable = kernel.ownLevel < paging.levels[0]!.level ? paOf(frames.take(FRAME_TABLE)) : undefined;
  const single = { userRoot: undefined, kernelTable, pcid };
  if (options.isolation) {
    const gfn = frames.takePair(FRAME_TABLE, kernel.smallRoots);
    if (gfn >= 0) return { root: paOf(gfn), userRoot: paOf(gfn + 1), kernelTable, pcid };
    if (kernelTable !== undefined) frames.drop(gfnOf(kernelTable));
    return undefined;
  }
  if (kernel.smallRoots) return { root: rootSlab.take(), ...single };
  return { root: paOf(frames.take(FRAME_TABLE)), ...single };
}

/** Empties the lower half and copies the upper one. */
function* writeRoots(cpu: Cpu, roots: Roots): Steps {
  const { kernel, vcpu } = cpu;
  const { codec, memory } = kernel;
  const from = kernel.layout.kernelSlot * kernel.paging.mode.entryBytes;
  const halves = [
    [roots.root, kernel.master.root],
    [roots.userRoot, kernel.userMaster?.root],
  ] as const;
  for (const [root, master] of halves) {
    if (root === undefined || master === undefined) continue;
    const bytes = rootBytes(kernel);
    if (bytes === PAGE_BYTES) yield* memory.clearFrames(vcpu, gfnOf(root));
    else yield* memory.write(vcpu, root, new Uint8Array(from));
    const words = memory.words(gfnOf(master));
    const at = words.byteOffset + (master % PAGE_BYTES) + from;
    yield* memory.write(vcpu, root + from, new Uint8Array(words.buffer, at, bytes - from));
  }
  if (roots.kernelTable === undefined) return;
  // Its own page directory for the kernel half, and the entry that names it.
  memory.load(kernel.master.root + from);
  const master = tableGfn(kernel.paging.levels[0]!, memory.lo, memory.hi);
  const own = gfnOf(roots.kernelTable);
  yield* memory.copyFrame(vcpu, master, own);
  yield* memory.set(vcpu, roots.root + from, codec.addressLo(own) | PRESENT, codec.addressHi(own));
}

/** Bytes of a root that contain entries of this space: 4096, or 32 of a frame shared with other PAE roots. */
function rootBytes(kernel: Kernel): number {
  return kernel.smallRoots && !kernel.options.isolation ? 32 : PAGE_BYTES;
}

/** PAE: all page directories of the user half at once, because the processor reads their entries only with CR3. */
function* addDirectories(cpu: Cpu, space: AddressSpace): Steps {
  const { kernel } = cpu;
  const { slotPages } = kernel.paging.levels[0]!;
  for (let slot = 0; slot < kernel.layout.kernelSlot; slot++) {
    yield* ensureTables(cpu, space, slot * slotPages, kernel.paging.levels[0]!.level - 1);
  }
}

/** Lets the space see its own tables: the root in one of its own slots, or (PAE) the page directories in the last of them. */
function* mapSelf(cpu: Cpu, space: AddressSpace): Steps {
  const { kernel, vcpu } = cpu;
  const { codec, memory, paging } = kernel;
  const top = paging.levels[0]!;
  const flags = PRESENT | WRITABLE | ACCESSED | DIRTY;
  const noExecute = paging.byLevel[1]!.noExecuteMask === 0 ? 0 : NO_EXECUTE;
  if (space.kernelTable === undefined) {
    const slot = paging.mode.canonical ? SELF_SLOT : (kernel.layout.selfMap / top.slotPages) | 0;
    const gfn = gfnOf(space.root);
    const at = space.root + slot * paging.mode.entryBytes;
    yield* memory.set(vcpu, at, codec.addressLo(gfn) | flags, codec.addressHi(gfn) | noExecute);
    return;
  }
  for (let directory = 0; directory < top.slots; directory++) {
    memory.load(space.root + directory * 8);
    const gfn = tableGfn(top, memory.lo, memory.hi);
    const at = space.kernelTable + (PAE_SELF_SLOT + directory) * 8;
    yield* memory.set(vcpu, at, codec.addressLo(gfn) | flags, codec.addressHi(gfn) | noExecute);
  }
}

/** Takes the self-map out again where it is not in the root, before the page directories that it names are freed. */
export function* unmapSelf(cpu: Cpu, space: AddressSpace): Steps {
  const { kernel, vcpu } = cpu;
  if (space.kernelTable === undefined) return;
  for (let directory = 0; directory < kernel.paging.levels[0]!.slots; directory++) {
    yield* kernel.memory.set(vcpu, space.kernelTable + (PAE_SELF_SLOT + directory) * 8, 0, 0);
  }
}
