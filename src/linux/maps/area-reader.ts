/** Reads the areas of a process: where they are, what they are called (fs/proc/task_mmu.c, `show_map_vma`). */
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import type { LinuxKernel } from '../kernel/kernel.ts';
import { FaultList } from '../memory/fault-list.ts';
import { attempt, GuestFault } from '../memory/guest-fault.ts';
import type { KernelMemory } from '../memory/kernel-memory.ts';
import type { Steps } from '../memory/steps.ts';
import { type AreaLayout, areaLayout } from './area-layout.ts';
import { DentryPaths, type FileFacts } from './dentry-path.ts';
import { hasMapleTrees, MapleTree } from './maple-tree.ts';
import { type AreaList, type MemoryArea, rightsText } from './memory-area.ts';

/** include/linux/mm.h */
const VM_READ = 0x1n;
const VM_WRITE = 0x2n;
const VM_EXEC = 0x4n;
const VM_MAYSHARE = 0x80n;
const VM_HUGETLB = 0x40_0000n;

const MAX_NAME_BYTES = 256;
/** Of a list of areas that the guest changes meanwhile. */
const MAX_READINGS = 3;
/** sysctl_max_map_count, which a guest may raise. */
const MAX_READ_AGAIN = 65_530;

/** Every method throws PtmonError `not-fetched` where remote memory must be fetched first. */
export class AreaReader {
  readonly layout: AreaLayout;
  readonly #gate: bigint | undefined;
  readonly #memory: KernelMemory;
  readonly #paths: DentryPaths | undefined;
  /** Why no file has a name. */
  readonly #noPaths: string | undefined;
  readonly #tree: MapleTree | undefined;

  /** @throws PtmonError `corrupt-input` where the BTF lacks what memory is told by */
  constructor({ memory, btf, gate }: LinuxKernel) {
    this.layout = areaLayout(btf);
    this.#gate = gate;
    this.#memory = memory;
    try {
      this.#paths = new DentryPaths(memory, btf);
    } catch (error) {
      // Without names of files there is still the rest.
      if (!(error instanceof PtmonError)) throw error;
      this.#noPaths = error.message;
    }
    this.#tree = hasMapleTrees(btf) ? new MapleTree(memory, btf) : undefined;
  }

  /** @param mm address of the `mm_struct` */
  *list(mm: bigint): Steps<AreaList> {
    const faults = new FaultList();
    if (this.#noPaths !== undefined) faults.note(`no file has a name: ${this.#noPaths}`);
    const areas: MemoryArea[] = [];
    const { areas: found, isWhole } = yield* this.#countedAreas(mm, faults.note);
    for (const at of found) {
      const note = (why: string) => faults.note(`the area at ${hex(at)}: ${why}`);
      const area = attempt(() => this.#area(mm, at, note), note);
      if (area !== undefined) areas.push(area);
      yield;
    }
    if (!isWhole && faults.texts.length === 0)
      faults.note(
        found.length === 0
          ? 'its list has no area: the dump left it out, or it was in a fork or exit'
          : 'the kernel counts more or fewer areas than its list has: it was being changed',
      );
    return { areas: [...areas, ...(attempt(() => this.#vsyscall()) ?? [])], faults: faults.texts, isWhole };
  }

  /**
   * The page of old system calls, which every process is shown (arch/x86/entry/vsyscall/vsyscall_64.c): executable only, as it is by
   * default, or readable, too, where it is mapped. Otherwise there is none.
   */
  #vsyscall(): MemoryArea[] {
    if (this.#gate === undefined) return [];
    const { vm_start, vm_flags } = this.layout.area;
    const at = this.#gate - BigInt(vm_start);
    const start = this.#pointer(at, vm_start);
    const rights = rightsOf(this.#pointer(at, vm_flags));
    if (rights.readable && attempt(() => this.#memory.pa(start)) === undefined) return [];
    return [
      { at, start, end: start + 4096n, rights, isHugetlb: false, fileOffset: 0n, file: null, name: '[vsyscall]' },
    ];
  }

  /** Whether an area is still what was read of it: it may have been given back, or changed. */
  isCurrent(mm: bigint, { at, start, end, rights, file }: MemoryArea): boolean {
    const { area } = this.layout;
    const isCurrent = attempt(() => {
      const open = this.#pointer(at, area.vm_file);
      return (
        this.#pointer(at, area.vm_mm) === mm &&
        this.#pointer(at, area.vm_start) === start &&
        this.#pointer(at, area.vm_end) === end &&
        rightsText(rightsOf(this.#pointer(at, area.vm_flags))) === rightsText(rights) &&
        (open === 0n ? null : (this.#paths?.inodeOf(open) ?? null)) === (file?.inode ?? null)
      );
    });
    return isCurrent === true;
  }

  /** A tree that the guest changes while it is read may look like a smaller one that is in order: the kernel's count tells. */
  *#countedAreas(mm: bigint, note: (why: string) => void): Steps<{ areas: bigint[]; isWhole: boolean }> {
    for (let reading = 1; ; reading++) {
      const faults = new FaultList();
      const areas = yield* this.#areasOf(mm, faults.note);
      const count = attempt(() => this.#pointer(mm, this.layout.mm.map_count) & 0xffff_ffffn);
      // A dump that left the kernel's structures out has zeroes there: no process lives without an area.
      const isWhole = areas.length > 0 && count === BigInt(areas.length);
      if (!isWhole && reading < MAX_READINGS && areas.length < MAX_READ_AGAIN) continue;
      for (const fault of faults.texts) note(fault);
      return { areas, isWhole };
    }
  }

  *#areasOf(mm: bigint, faults: (why: string) => void): Steps<bigint[]> {
    const { mm_mt, mmap } = this.layout.mm;
    if (this.#tree !== undefined) return yield* this.#tree.entries(mm + BigInt(mm_mt ?? 0), faults);
    const next = this.layout.area.vm_next;
    const areas = new Set<bigint>();
    try {
      if (mmap === undefined || next === undefined) throw new GuestFault('its BTF has neither mm_mt nor mmap');
      for (let at = this.#pointer(mm, mmap); at !== 0n; at = this.#pointer(at, next)) {
        if (areas.has(at)) throw new GuestFault(`it comes back to ${hex(at)}`);
        areas.add(at);
        yield;
      }
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      faults(`the list of areas breaks off after ${areas.size}: ${error.message}`);
    }
    return [...areas];
  }

  #area(mm: bigint, at: bigint, note: (why: string) => void): MemoryArea {
    const { area } = this.layout;
    // One that is given to another process while it is read says so.
    if (this.#pointer(at, area.vm_mm) !== mm) throw new GuestFault('it is not of this process');
    const start = this.#pointer(at, area.vm_start);
    const end = this.#pointer(at, area.vm_end);
    if (start >= end) throw new GuestFault(`it ends at ${hex(end)} and begins at ${hex(start)}`);
    const flags = this.#pointer(at, area.vm_flags);
    const open = this.#pointer(at, area.vm_file);
    const file = open === 0n ? undefined : attempt(() => this.#paths?.fileAt(open), note);
    return {
      at,
      start,
      end,
      rights: rightsOf(flags),
      isHugetlb: (flags & VM_HUGETLB) !== 0n,
      fileOffset: open === 0n ? 0n : this.#pointer(at, area.vm_pgoff) << 12n,
      file: file === undefined ? null : { major: file.major, minor: file.minor, inode: file.inode },
      name: attempt(() => this.#nameOf(mm, { at, start, end }, file), note) ?? '',
    };
  }

  #nameOf(
    mm: bigint,
    { at, start, end }: Pick<MemoryArea, 'at' | 'start' | 'end'>,
    file: FileFacts | undefined,
  ): string {
    const { mm: own } = this.layout;
    const given = this.#givenName(at, file !== undefined);
    if (file !== undefined) return given === '' ? file.path : `[anon_shmem:${given}]`;
    const special = this.#specialName(at);
    if (special !== undefined) return special;
    const [heap, brk] = [this.#pointer(mm, own.start_brk), this.#pointer(mm, own.brk)];
    if (this.layout.isHeapExact ? start < brk && end > heap : start <= brk && end >= heap) return '[heap]';
    const stack = this.#pointer(mm, own.start_stack);
    if (start <= stack && end >= stack) return '[stack]';
    return given === '' ? '' : `[anon:${given}]`;
  }

  /** Given by the process: prctl(PR_SET_VMA_ANON_NAME). */
  #givenName(at: bigint, hasFile: boolean): string {
    const { area, anonName } = this.layout;
    // Until 6.2 (d09e8ca6cb93) areas with a file have something else in this place.
    const isElse = hasFile && area.anon_name === area.shared;
    if (area.anon_name === undefined || anonName === undefined || isElse) return '';
    const name = this.#pointer(at, area.anon_name);
    return name === 0n ? '' : this.#memory.text(name + BigInt(anonName), MAX_NAME_BYTES);
  }

  /** What the kernel itself maps: `[vdso]`, `[vvar]`, `[uprobes]`. Of all areas without a file only these have operations with a name. */
  #specialName(at: bigint): string | undefined {
    const { area, operations, specialName } = this.layout;
    if (operations.name === undefined || specialName === undefined) return undefined;
    const table = this.#pointer(at, area.vm_ops);
    if (table === 0n || this.#pointer(table, operations.name) === 0n) return undefined;
    const mapping = this.#pointer(at, area.vm_private_data);
    return this.#memory.text(this.#pointer(mapping, specialName), MAX_NAME_BYTES);
  }

  #pointer(at: bigint, offset: number): bigint {
    return this.#memory.pointer(at + BigInt(offset));
  }
}

function rightsOf(flags: bigint) {
  return {
    readable: (flags & VM_READ) !== 0n,
    writable: (flags & VM_WRITE) !== 0n,
    executable: (flags & VM_EXEC) !== 0n,
    shared: (flags & VM_MAYSHARE) !== 0n,
  };
}
