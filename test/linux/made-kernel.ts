/** A guest's memory with a Linux kernel in it, made for tests: page tables, an image with its BTF, tasks, areas, files. */
import { gfnOf } from '../../src/core/address/pa.ts';
import { SparseMemory } from '../../src/core/memory/sparse-memory.ts';
import { makePaging, type Paging } from '../../src/core/paging/format.ts';
import type { KernelSource } from '../../src/linux/kernel/kernel.ts';
import { makeTypes, NEW, type Places, type Vintage } from './made-types.ts';

export interface KernelPlan {
  readonly vintage?: Vintage;
  readonly mode?: '4-level' | '5-level';
  /** Where KASLR has put it: added to virtual and physical addresses. */
  readonly slide?: bigint;
  /** Page-table isolation, with a processor in user mode. */
  readonly isolated?: boolean;
  /** Takes the place of the BTF. */
  readonly btf?: (real: Uint8Array) => Uint8Array;
}

export interface AreaPlan {
  readonly start: bigint;
  readonly end: bigint;
  /** VM_*; readable and writable unless told. */
  readonly flags?: bigint;
  /** Address of a `struct file`. */
  readonly file?: bigint;
  readonly offset?: bigint;
}

export interface ProcessPlan {
  readonly pid: number;
  readonly comm: string;
  readonly parent?: bigint;
  readonly areas?: readonly AreaPlan[];
  readonly isKernelThread?: boolean;
  /** More threads, by their numbers. */
  readonly threads?: readonly number[];
  readonly brk?: readonly [start: bigint, end: bigint];
  readonly stack?: bigint;
}

export interface MadeProcess {
  readonly task: bigint;
  readonly mm: bigint;
  readonly root: number;
  readonly areas: readonly bigint[];
}

/** Documentation/arch/x86/x86_64/mm. */
const DIRECT_MAPS = { '4-level': 0xffff_8880_0000_0000n, '5-level': 0xff11_0000_0000_0000n };
const DIRECT_BYTES = 0x80_0000;
const IMAGE = 0xffff_ffff_8100_0000n;
const IMAGE_PA = 0x20_0000;
const IMAGE_BYTES = 0x20_0000n;

export class MadeKernel {
  readonly memory = new SparseMemory();
  readonly paging: Paging;
  readonly places: Places;
  readonly base: bigint;
  readonly directMap: bigint;
  readonly initTask: bigint;
  /** The kernel's own top-level table, in its image. */
  readonly kernelRoot: number;
  /** Of the process that a processor has loaded. */
  readonly loadedRoot: number;
  readonly #isolated: boolean;
  #nextTable = 0x10_0000;
  #nextObject = 0x50_0000;
  #imageUsed = 0;
  #lastTask: bigint;
  readonly #rootMount: { readonly mount: bigint; readonly dentry: bigint; readonly block: bigint };

  constructor(plan: KernelPlan = {}) {
    const { vintage = NEW, mode = '4-level', slide = 0n, isolated = false } = plan;
    this.paging = makePaging({ mode });
    this.#isolated = isolated;
    this.base = IMAGE + slide;
    this.directMap = DIRECT_MAPS[mode];
    for (let gfn = 0; gfn < DIRECT_BYTES / 4096; gfn++) this.memory.addPage(gfn);

    const real = makeTypes(vintage);
    this.places = real.places;
    const image = (bytes: Uint8Array, align: number): bigint => {
      this.#imageUsed = Math.ceil(this.#imageUsed / align) * align;
      const va = this.base + BigInt(this.#imageUsed);
      this.memory.write(IMAGE_PA + this.#imageUsed, bytes);
      this.#imageUsed += bytes.length;
      return va;
    };
    image(new Uint8Array(4096).fill(0x90), 4096);
    // Words that begin like BTF, like a note, like the name of an idle task, and are none.
    image(Buffer.from('9feb010018000000ffffffff', 'hex'), 4);
    image(Buffer.from('swapper/0\0', 'latin1'), 8);
    image(note('bad0'.repeat(10)), 4096 * 2);
    this.memory.write(IMAGE_PA + Math.floor(this.#imageUsed / 4096) * 4096 - 4096, Buffer.from('\x7fELF', 'latin1'));
    this.#imageUsed = Math.ceil(this.#imageUsed / 0x8000) * 0x8000;
    image(note('0123456789abcdef0123456789abcdef01234567'), 4);
    image(plan.btf?.(real.btf) ?? real.btf, 4);
    const rootVa = image(new Uint8Array(8192), 8192);
    this.kernelRoot = this.paOf(rootVa);
    this.initTask = image(new Uint8Array(this.#sizeOf('task_struct')), 64);

    this.#mapLarge(this.base, IMAGE_PA, IMAGE_BYTES, 0x63n | 0x80n);
    this.#mapLarge(this.directMap, 0, BigInt(DIRECT_BYTES), 0x8000_0000_0000_0063n | 0x80n);
    this.#lastTask = this.initTask;
    this.#makeTask(this.initTask, 0, 'swapper/0', this.initTask);
    const list = this.initTask + this.at('task_struct.tasks');
    this.put(list, list);
    this.put(list + 8n, list);
    this.#rootMount = this.#makeRootMount();
    this.loadedRoot = this.#makeRoot();
  }

  /** As a processor shows it. */
  source(): KernelSource {
    const cr3 = BigInt(this.loadedRoot + (this.#isolated ? 4096 : 0));
    const cr4 = this.paging.mode.name === '5-level' ? 0x1020n : 0x20n;
    return {
      memory: this.memory,
      registers: { vcpuCount: 1, readRegisters: () => ({ cr0: 0x8000_0001n, cr3, cr4, efer: 0xd00n }) },
    };
  }

  at(place: string): bigint {
    const offset = this.places.get(place);
    if (offset === undefined) throw new Error(`no ${place} in this kernel`);
    return BigInt(offset);
  }

  paOf(va: bigint): number {
    return va >= this.base && va < this.base + IMAGE_BYTES
      ? Number(va - this.base) + IMAGE_PA
      : Number(va - this.directMap);
  }

  put(va: bigint, value: bigint): void {
    this.memory.writeU64(this.paOf(va), Number(value & 0xffff_ffffn), Number(BigInt.asUintN(64, value) >> 32n));
  }

  get(va: bigint): bigint {
    const out = new Uint32Array(2);
    this.memory.readEntry(this.paOf(va), 8, out);
    return (BigInt(out[1]!) << 32n) | BigInt(out[0]!);
  }

  text(va: bigint, text: string): void {
    this.memory.write(this.paOf(va), Buffer.from(`${text}\0`, 'utf8'));
  }

  /** An address in the map of all memory, with zeroes behind it. */
  make(byteLength: number, align = 64): bigint {
    this.#nextObject = Math.ceil(this.#nextObject / align) * align;
    const va = this.directMap + BigInt(this.#nextObject);
    this.#nextObject += byteLength;
    return va;
  }

  makeText(text: string): bigint {
    const va = this.make(Buffer.byteLength(text) + 1, 8);
    this.text(va, text);
    return va;
  }

  /** A file in a folder of the root file system. */
  makeFile(path: string, { isDeleted = false } = {}): bigint {
    let dentry = this.#rootMount.dentry;
    for (const name of path.split('/').filter(Boolean)) dentry = this.#makeDentry(name, dentry, isDeleted);
    const inode = this.#makeInode(42n);
    const file = this.make(this.#sizeOf('file'));
    this.put(file + this.at('file.f_path'), this.#rootMount.mount + this.at('mount.mnt'));
    this.put(file + this.at('file.f_path') + this.at('path.mnt'), this.#rootMount.mount + this.at('mount.mnt'));
    this.put(file + this.at('file.f_path') + this.at('path.dentry'), dentry);
    this.put(file + this.at('file.f_inode'), inode);
    return file;
  }

  makeProcess(plan: ProcessPlan): MadeProcess {
    const task = this.make(this.#sizeOf('task_struct'));
    this.#makeTask(task, plan.pid, plan.comm, plan.parent ?? this.initTask);
    if (plan.isKernelThread) this.put(task + this.at('task_struct.flags'), 0x0020_0000n);
    const list = this.at('task_struct.tasks');
    const head = this.initTask + list;
    const last = this.#lastTask + list;
    this.put(task + list, head);
    this.put(task + list + 8n, last);
    this.put(last, task + list);
    this.put(head + 8n, task + list);
    this.#lastTask = task;
    for (const tid of plan.threads ?? []) this.#addThread(task, tid, plan.comm);
    if (plan.isKernelThread) return { task, mm: 0n, root: 0, areas: [] };

    const root = this.#makeRoot();
    const mm = this.make(this.#sizeOf('mm_struct'));
    this.put(mm + this.at('mm_struct.pgd'), this.directMap + BigInt(root));
    this.put(mm + this.at('mm_struct.mm_users'), 1n);
    const [start, end] = plan.brk ?? [0n, 0n];
    this.put(mm + this.at('mm_struct.start_brk'), start);
    this.put(mm + this.at('mm_struct.brk'), end);
    this.put(mm + this.at('mm_struct.start_stack'), plan.stack ?? 0n);
    const areas = (plan.areas ?? []).map((area) => this.#makeArea(mm, area));
    this.#linkAreas(mm, areas, plan.areas ?? []);
    this.put(task + this.at('task_struct.mm'), mm);
    for (const [index] of (plan.threads ?? []).entries()) {
      this.put(this.#threads.get(task)![index]! + this.at('task_struct.mm'), mm);
    }
    return { task, mm, root, areas };
  }

  /** Takes a process out of the list, as when it is reaped. */
  unlink(task: bigint): void {
    const list = task + this.at('task_struct.tasks');
    const [next, previous] = [this.get(list), this.get(list + 8n)];
    this.put(next + 8n, previous);
    this.put(previous, next);
    if (this.#lastTask === task) this.#lastTask = previous - this.at('task_struct.tasks');
  }

  /** Maps pages of 4 KiB, each value an entry without its frame's place in a table of its own. */
  mapPage(root: number, va: bigint, entry: bigint): void {
    const pa = this.#entryPa(root, va, 1);
    this.memory.writeU64(pa, Number(entry & 0xffff_ffffn), Number(entry >> 32n));
  }

  readonly #threads = new Map<bigint, bigint[]>();

  #makeTask(task: bigint, pid: number, comm: string, parent: bigint): void {
    const signal = this.make(this.#sizeOf('signal_struct'));
    const cred = this.make(this.#sizeOf('cred'));
    this.put(cred + this.at('cred.uid'), 1000n);
    this.put(cred + this.at('cred.euid'), 1001n);
    const put = (name: string, value: bigint) => this.put(task + this.at(`task_struct.${name}`), value);
    put('pid', BigInt(pid));
    put('tgid', BigInt(pid));
    put('real_parent', parent);
    put('group_leader', task);
    put('real_cred', cred);
    put('signal', signal);
    put('start_boottime', BigInt(pid) * 1000n);
    put(this.places.has('task_struct.__state') ? '__state' : 'state', 1n);
    this.text(task + this.at('task_struct.comm'), comm);
    const node = this.#threadNode(task);
    if (this.places.has('signal_struct.thread_head')) {
      const head = signal + this.at('signal_struct.thread_head');
      for (const [from, to] of [
        [head, node],
        [node, head],
      ] as const) {
        this.put(from, to);
        this.put(from + 8n, to);
      }
    } else {
      this.put(node, node);
      this.put(node + 8n, node);
    }
  }

  #threadNode(task: bigint): bigint {
    const place = this.places.get('task_struct.thread_node') ?? this.places.get('task_struct.thread_group');
    return task + BigInt(place ?? 0);
  }

  #addThread(leader: bigint, tid: number, comm: string): void {
    const task = this.make(this.#sizeOf('task_struct'));
    this.#makeTask(task, tid, comm, leader);
    this.put(task + this.at('task_struct.tgid'), this.get(leader + this.at('task_struct.pid')));
    this.#threads.set(leader, [...(this.#threads.get(leader) ?? []), task]);
    const head = this.places.has('signal_struct.thread_head')
      ? this.get(leader + this.at('task_struct.signal')) + this.at('signal_struct.thread_head')
      : this.#threadNode(leader);
    const node = this.#threadNode(task);
    const last = this.get(head + 8n);
    this.put(node, head);
    this.put(node + 8n, last);
    this.put(last, node);
    this.put(head + 8n, node);
  }

  #makeArea(mm: bigint, { start, end, flags = 3n, file = 0n, offset = 0n }: AreaPlan): bigint {
    const area = this.make(this.#sizeOf('vm_area_struct'));
    const put = (name: string, value: bigint) => this.put(area + this.at(`vm_area_struct.${name}`), value);
    put('vm_start', start);
    put('vm_end', end);
    put('vm_flags', flags);
    put('vm_mm', mm);
    put('vm_file', file);
    put('vm_pgoff', offset / 4096n);
    return area;
  }

  #linkAreas(mm: bigint, areas: readonly bigint[], plans: readonly AreaPlan[]): void {
    this.put(mm + this.at('mm_struct.map_count'), BigInt(areas.length));
    if (this.places.has('mm_struct.mmap')) {
      const chain = [mm + this.at('mm_struct.mmap'), ...areas.map((area) => area + this.at('vm_area_struct.vm_next'))];
      for (const [index, area] of areas.entries()) this.put(chain[index]!, area);
      return;
    }
    // Leaves of at most three areas with the holes between them, below one node of ranges.
    const leaves: { readonly node: bigint; readonly last: bigint }[] = [];
    let from = 0n;
    for (let index = 0; index < areas.length; index++) {
      const plan = plans[index]!;
      const isLast = index === areas.length - 1;
      const leaf = this.make(256, 256);
      const slots: [entry: bigint, last: bigint][] = [];
      if (plan.start > from) slots.push([0n, plan.start - 1n]);
      slots.push([areas[index]!, plan.end - 1n]);
      if (isLast) slots.push([0n, (1n << 64n) - 1n]);
      this.#fillNode(leaf, 4, slots, isLast);
      leaves.push({ node: leaf | (1n << 3n), last: isLast ? (1n << 64n) - 1n : plan.end - 1n });
      from = plan.end;
    }
    let level = leaves;
    while (level.length > 1) {
      const above: typeof leaves = [];
      for (let index = 0; index < level.length; index += 3) {
        const below = level.slice(index, index + 3);
        const node = this.make(256, 256);
        const isLast = index + 3 >= level.length;
        this.#fillNode(
          node,
          3,
          below.map(({ node: child, last }) => [child | 4n, last]),
          isLast,
        );
        above.push({ node: node | (3n << 3n), last: below.at(-1)!.last });
      }
      level = above;
    }
    const root = level[0]?.node ?? 0n;
    this.put(mm + this.at('mm_struct.mm_mt') + this.at('maple_tree.ma_root'), root === 0n ? 0n : root | 2n);
  }

  #fillNode(node: bigint, slotCount: number, slots: readonly (readonly [bigint, bigint])[], isLast: boolean): void {
    for (const [slot, [entry, last]] of slots.entries()) {
      const isEnd = isLast && slot > 0 && slot === slots.length - 1;
      if (slot < slotCount - 1) this.put(node + 8n + BigInt(slot * 8), isEnd ? 0n : last);
      this.put(node + BigInt(8 * slotCount + slot * 8), entry);
    }
  }

  #makeRootMount() {
    const type = this.make(this.#sizeOf('file_system_type'));
    this.put(type + this.at('file_system_type.name'), this.makeText('rootfs'));
    const block = this.make(this.#sizeOf('super_block'));
    this.put(block + this.at('super_block.s_dev'), (8n << 20n) | 1n);
    this.put(block + this.at('super_block.s_type'), type);
    const dentry = this.make(this.#sizeOf('dentry'));
    this.put(dentry + this.at('dentry.d_parent'), dentry);
    this.put(dentry + this.at('dentry.d_sb'), block);
    const mount = this.make(this.#sizeOf('mount'));
    this.put(mount + this.at('mount.mnt_parent'), mount);
    this.put(mount + this.at('mount.mnt_mountpoint'), dentry);
    this.put(mount + this.at('mount.mnt') + this.at('vfsmount.mnt_root'), dentry);
    return { mount, dentry, block };
  }

  #makeDentry(name: string, parent: bigint, isDeleted: boolean): bigint {
    const dentry = this.make(this.#sizeOf('dentry'));
    this.put(dentry + this.at('dentry.d_parent'), parent);
    this.put(dentry + this.at('dentry.d_sb'), this.#rootMount.block);
    this.put(dentry + this.at('dentry.d_hash') + this.at('hlist_bl_node.pprev'), isDeleted ? 0n : dentry);
    const qstr = dentry + this.at('dentry.d_name');
    this.put(qstr + this.at('qstr.len'), BigInt(Buffer.byteLength(name)));
    this.put(qstr + this.at('qstr.name'), this.makeText(name));
    return dentry;
  }

  #makeInode(number: bigint): bigint {
    const inode = this.make(this.#sizeOf('inode'));
    this.put(inode + this.at('inode.i_ino'), number);
    this.put(inode + this.at('inode.i_sb'), this.#rootMount.block);
    return inode;
  }

  #sizeOf(structure: string): number {
    const offsets = [...this.places].filter(([name]) => name.startsWith(`${structure}.`)).map(([, offset]) => offset);
    return Math.max(...offsets) + 48;
  }

  /** A top-level table with the kernel's half in it; under isolation two. */
  #makeRoot(): number {
    this.#nextTable = Math.ceil(this.#nextTable / 8192) * 8192;
    const root = this.#newTable();
    this.#newTable();
    for (let offset = 2048; offset < 4096; offset += 8) {
      const out = new Uint32Array(2);
      this.memory.readEntry(this.kernelRoot + offset, 8, out);
      this.memory.writeU64(root + offset, out[0]!, out[1]!);
    }
    return root;
  }

  #newTable(): number {
    const pa = this.#nextTable;
    this.#nextTable += 4096;
    return pa;
  }

  /** Maps kernel addresses by 2 MiB pages. */
  #mapLarge(va: bigint, pa: number, byteLength: bigint, flags: bigint): void {
    for (let done = 0n; done < byteLength; done += 0x20_0000n) {
      const entry = BigInt(pa) + done + flags;
      const at = this.#entryPa(this.kernelRoot, va + done, 2);
      this.memory.writeU64(at, Number(entry & 0xffff_ffffn), Number(entry >> 32n));
    }
  }

  /** Physical address of the entry of a table of this level, with the tables on the way. */
  #entryPa(root: number, va: bigint, level: number): number {
    let table = root;
    for (const format of this.paging.levels) {
      const slot = Number((va >> BigInt(12 + 9 * (format.level - 1))) & 0x1ffn);
      const pa = table + slot * 8;
      if (format.level === level) return pa;
      const out = new Uint32Array(2);
      this.memory.readEntry(pa, 8, out);
      if ((out[0]! & 1) === 0) {
        const next = this.#newTable();
        const isUserTop = format === this.paging.levels[0] && va < 1n << 63n;
        this.memory.writeU64(pa, next + 0x67, this.#isolated && isUserTop ? 0x8000_0000 : 0);
        table = next;
      } else {
        table = (out[0]! & 0xffff_f000) >>> 0;
      }
    }
    throw new Error('unreachable');
  }
}

function note(id: string): Uint8Array {
  return Buffer.concat([
    new Uint8Array(new Uint32Array([4, 20, 3]).buffer),
    Buffer.from('GNU\0', 'latin1'),
    Buffer.from(id, 'hex'),
  ]);
}

/** Every frame that holds something. */
export function usedFrames(kernel: MadeKernel): number[] {
  const frames: number[] = [];
  for (let gfn = 0; gfn < DIRECT_BYTES / 4096; gfn++) {
    if (kernel.memory.page(gfn)?.some((word) => word !== 0)) frames.push(gfnOf(gfn * 4096));
  }
  return frames;
}
