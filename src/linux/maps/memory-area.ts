/** A part of a process's address space that the kernel keeps as one: a line of /proc/PID/maps. */

export interface AreaRights {
  readonly readable: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
  /** Other processes that map it see writes. */
  readonly shared: boolean;
}

export interface MemoryArea {
  /** Address of its `vm_area_struct`. */
  readonly at: bigint;
  /** Virtual addresses, multiples of 4096. */
  readonly start: bigint;
  /** Exclusive. */
  readonly end: bigint;
  readonly rights: AreaRights;
  /** Of reserved large pages (hugetlb): Linux does not count them as resident. */
  readonly isHugetlb: boolean;
  /** Of `start`, in the file. */
  readonly fileOffset: bigint;
  /** Null where there is no file. */
  readonly file: { readonly major: number; readonly minor: number; readonly inode: bigint } | null;
  /** A path, or `[heap]`, `[stack]`, `[vdso]`, `[anon:…]`; empty where it has no name. */
  readonly name: string;
}

/** What could be read of a process's memory, and what could not. */
export interface AreaList {
  /** Ascending. */
  readonly areas: readonly MemoryArea[];
  /** Human-readable. */
  readonly faults: readonly string[];
  /** Whether there are as many as the kernel counts. Not so in a fork, or while a running guest changes them. */
  readonly isWhole: boolean;
}

/** `rw-p`, as /proc writes it. */
export function rightsText({ readable, writable, executable, shared }: AreaRights): string {
  return `${readable ? 'r' : '-'}${writable ? 'w' : '-'}${executable ? 'x' : '-'}${shared ? 's' : 'p'}`;
}
