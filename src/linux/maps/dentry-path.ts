/**
 * The path of a file, as `d_path` makes it (fs/d_path.c): from its name up through its parents, and across the places where file systems
 * are mounted, to where nothing is above.
 */
import type { Btf } from '../btf/btf.ts';
import { offsetsOf } from '../btf/offsets.ts';
import { GuestFault } from '../memory/guest-fault.ts';
import type { KernelMemory } from '../memory/kernel-memory.ts';

/** Names in a path; 4,096 bytes (PATH_MAX) have no more. */
const MAX_DEPTH = 2048;
/** NAME_MAX. */
const MAX_NAME_BYTES = 255;

export interface FileFacts {
  readonly path: string;
  readonly major: number;
  readonly minor: number;
  readonly inode: bigint;
}

export class DentryPaths {
  readonly #memory: KernelMemory;
  readonly #offsets: ReturnType<typeof layout>;

  /** @throws PtmonError `corrupt-input` */
  constructor(memory: KernelMemory, btf: Btf) {
    this.#memory = memory;
    this.#offsets = layout(btf);
  }

  /** What a `struct file` is open on. @throws GuestFault; PtmonError `not-fetched` */
  fileAt(file: bigint): FileFacts {
    const { file: own, inode, block } = this.#offsets;
    const node = this.#pointer(file, own.f_inode);
    const device = this.#u32(this.#pointer(node, inode.i_sb), block.s_dev);
    return {
      path: this.#pathOf(this.#pointer(file, own['f_path.dentry']), this.#pointer(file, own['f_path.mnt'])),
      // include/linux/kdev_t.h
      major: device >>> 20,
      minor: device & 0xfffff,
      inode: this.#pointer(node, inode.i_ino),
    };
  }

  /** The number of the inode that a `struct file` is open on. @throws GuestFault; PtmonError `not-fetched` */
  inodeOf(file: bigint): bigint {
    const { file: own, inode } = this.#offsets;
    return this.#pointer(this.#pointer(file, own.f_inode), inode.i_ino);
  }

  #pathOf(start: bigint, mount: bigint): string {
    const { dentry } = this.#offsets;
    const own = this.#ownName(start, mount);
    if (own !== undefined) return own;
    const isRoot = this.#pointer(start, dentry.d_parent) === start;
    const isDeleted = !isRoot && this.#pointer(start, dentry['d_hash.pprev']) === 0n;
    return `${this.#climb(start, mount)}${isDeleted ? ' (deleted)' : ''}`;
  }

  #climb(start: bigint, startMount: bigint): string {
    const { dentry, vfs, mount } = this.#offsets;
    const names: string[] = [];
    let at = start;
    let vfsMount = startMount;
    for (let step = 0; step < MAX_DEPTH; step++) {
      if (at === this.#pointer(vfsMount, vfs.mnt_root)) {
        const here = vfsMount - BigInt(mount.mnt);
        const above = this.#pointer(here, mount.mnt_parent);
        if (above === here) return `/${names.reverse().join('/')}`;
        at = this.#pointer(here, mount.mnt_mountpoint);
        vfsMount = above + BigInt(mount.mnt);
        continue;
      }
      const parent = this.#pointer(at, dentry.d_parent);
      if (parent === at) return `/${names.reverse().join('/')}`;
      names.push(this.#nameOf(at));
      at = parent;
    }
    throw new GuestFault('a path does not end');
  }

  /**
   * Names that a file system makes up itself (`d_dname`): of shared memory without a file (`/dev/zero (deleted)`, `/memfd:…`, `/SYSV…`)
   * and of files without a place (`anon_inode:…`).
   */
  #ownName(start: bigint, mount: bigint): string | undefined {
    const { dentry, operations, block, system, vfs } = this.#offsets;
    const table = this.#pointer(start, dentry.d_op);
    if (table === 0n || this.#pointer(table, operations.d_dname) === 0n) return undefined;
    const isRoot = this.#pointer(start, dentry.d_parent) === start;
    if (isRoot && start === this.#pointer(mount, vfs.mnt_root)) return undefined;
    const name = this.#nameOf(start);
    const type = this.#pointer(this.#pointer(start, dentry.d_sb), block.s_type);
    const kind = this.#memory.text(this.#pointer(type, system.name), 32);
    if (kind === 'anon_inodefs') return `anon_inode:${name}`;
    if (kind === 'dmabuf') return `/dmabuf:${name}`;
    // simple_dname: of tmpfs and hugetlbfs.
    return `/${name} (deleted)`;
  }

  #nameOf(at: bigint): string {
    const { dentry } = this.#offsets;
    const length = this.#u32(at, dentry['d_name.len']);
    if (length > MAX_NAME_BYTES) throw new GuestFault(`a name of a file has ${length} bytes`);
    return this.#memory.text(this.#pointer(at, dentry['d_name.name']), length);
  }

  #pointer(at: bigint, offset: number): bigint {
    return this.#memory.pointer(at + BigInt(offset));
  }

  #u32(at: bigint, offset: number): number {
    return this.#memory.u32(at + BigInt(offset));
  }
}

function layout(btf: Btf) {
  return {
    file: offsetsOf(btf, 'file', ['f_path.dentry', 'f_path.mnt', 'f_inode']),
    inode: offsetsOf(btf, 'inode', ['i_ino', 'i_sb', 'i_flags']),
    block: offsetsOf(btf, 'super_block', ['s_dev', 's_type']),
    system: offsetsOf(btf, 'file_system_type', ['name']),
    dentry: offsetsOf(btf, 'dentry', ['d_parent', 'd_name.len', 'd_name.name', 'd_hash.pprev', 'd_op', 'd_sb']),
    operations: offsetsOf(btf, 'dentry_operations', ['d_dname']),
    vfs: offsetsOf(btf, 'vfsmount', ['mnt_root']),
    mount: offsetsOf(btf, 'mount', ['mnt', 'mnt_parent', 'mnt_mountpoint']),
  } as const;
}
