/** The mappings of QEMU's memory that hold the guest's RAM: proc(5), /proc/PID/maps and map_files. */
import { readFileSync, statfsSync } from 'node:fs';
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import type { HostArea } from './written-pages.ts';

/** `f_type` of a file system of huge pages: linux/magic.h. */
const HUGETLBFS_MAGIC = 0x958458f6;

/** The mapping that an address lies in; undefined where there is none. */
export function areaAt(pid: number, address: number): HostArea | undefined {
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const [range, begin, end] = /^([\da-f]+)-([\da-f]+) /.exec(line) ?? [];
    if (range === undefined) continue;
    const [start, limit] = [Number(`0x${begin}`), Number(`0x${end}`)];
    if (address >= start && address < limit) {
      return { start, byteLength: limit - start, pageBytes: pageBytesOf(pid, range.trim()) };
    }
  }
  return undefined;
}

/** Memory without a file is in pages of 4 KiB, or of transparent huge pages, which the kernel splits where it must. */
function pageBytesOf(pid: number, range: string): number {
  try {
    const { type, bsize } = statfsSync(`/proc/${pid}/map_files/${range}`);
    return type === HUGETLBFS_MAGIC ? bsize : PAGE_BYTES;
  } catch {
    return PAGE_BYTES;
  }
}
