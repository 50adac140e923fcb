/**
 * RAM as Linux lists it, read from a file whose positions may be no addresses. What /proc/iomem prints is a tree of `struct resource`
 * (include/linux/ioport.h): first and last address, a pointer to the name, flags. All ranges of RAM have one name, "System RAM". And RAM as
 * the firmware listed it (e820), in what the boot loader left: `struct boot_params` (arch/x86/include/uapi/asm/bootparam.h).
 */
import { PA_LIMIT, PAGE_BYTES } from '../../core/address/pa.ts';
import type { Pacer } from '../../driver/pacer.ts';
import type { MemoryRegion, Snapshot } from '../../driver/snapshot.ts';
import { readableBytes } from './file-pages.ts';

/** First and last address of ranges of one name, ascending. */
export type ListedRam = readonly (readonly [first: number, last: number])[];

const CHUNK_BYTES = 2 ** 20;
/** More than any layout has in front of its flags and behind them. */
const OVERLAP = 32;
/** IORESOURCE_MEM and IORESOURCE_BUSY; IORESOURCE_SYSRAM as well from Linux 4.6 on. */
const FLAGS = [0x8100_0200, 0x8000_0200];
/** All that is not zero of them: zeroes are everywhere. */
const PATTERNS = FLAGS.map((flags) => Buffer.from([(flags >>> 8) & 0xff, (flags >>> 16) & 0xff, flags >>> 24]));
/** Where the flags are: on 64-bit systems, with PAE, on 32-bit systems. Pointers are as wide as flags. */
const LAYOUTS = [
  { flags: 24, pointer: 8, address: 8 },
  { flags: 20, pointer: 4, address: 8 },
  { flags: 12, pointer: 4, address: 4 },
] as const;
type Layout = (typeof LAYOUTS)[number];
/** Kernels are in the upper half, or in the upper three quarters of 4 GiB. */
const LEAST_POINTER = { 4: 2n ** 30n, 8: 2n ** 63n } as const;
/** Memory that is full of them is made up. */
const MAX_NAMES = 2 ** 12;

/**
 * All lists of ranges that have the same name and do not overlap: of RAM, and of what else a kernel lists with these flags. RAM has more
 * than one range, below 1 MiB and above; a single one may be anything, and as long as chance makes it.
 */
export async function findListedRam(snapshot: Snapshot, pacer: Pacer): Promise<readonly ListedRam[]> {
  const byteLength = readableBytes(snapshot);
  const names = new Map<string, Map<number, number>>();
  for (let at = 0; at < byteLength; at += CHUNK_BYTES) {
    await pacer.turn({ what: "looking for Linux' list of RAM", done: at, total: byteLength, unit: 'bytes' });
    const bytes = snapshot.readBytes?.(at, Math.min(CHUNK_BYTES + OVERLAP, byteLength - at));
    if (bytes !== undefined) addResources(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), names);
  }
  const lists = [...names.values()].map((ranges) => [...ranges].sort(([a], [b]) => a - b));
  const isList = (list: ListedRam) => list.every(([first], index) => index === 0 || first > list[index - 1]![1]);
  return lists.filter((list) => list.length > 1 && isList(list));
}

function addResources(bytes: Buffer, names: Map<string, Map<number, number>>): void {
  for (const pattern of PATTERNS) {
    for (let at = bytes.indexOf(pattern); at >= 0; at = bytes.indexOf(pattern, at + 1)) {
      for (const layout of LAYOUTS) {
        const found = resourceAt(bytes, at - 1 - layout.flags, layout);
        if (found === undefined) continue;
        const name = `${layout.flags} ${found.name}`;
        const ranges = names.get(name) ?? new Map<number, number>();
        if (names.size < MAX_NAMES) names.set(name, ranges.set(found.first, found.last));
      }
    }
  }
}

function resourceAt(bytes: Buffer, at: number, { flags, pointer, address }: Layout) {
  if (at < 0 || at + flags + pointer > bytes.length) return undefined;
  const read = (offset: number, width: 4 | 8) =>
    width === 8 ? bytes.readBigUInt64LE(at + offset) : BigInt(bytes.readUInt32LE(at + offset));
  const [first, last, name] = [read(0, address), read(address, address), read(flags - pointer, pointer)];
  if (!FLAGS.includes(Number(read(flags, pointer))) || name < LEAST_POINTER[pointer]) return undefined;
  if (first >= last || last >= 2n ** 52n || Number(first) % PAGE_BYTES !== 0) return undefined;
  return { first: Number(first), last: Number(last), name };
}

/** Of a `boot_params`: its size, and where the number of entries, two signatures, and the entries are. */
const PARAMS_BYTES = 4096;
const [COUNT, BOOT_FLAG, HEADER, ENTRIES] = [0x1e8, 0x1fe, 0x202, 0x2d0];
const [ENTRY_BYTES, MAX_ENTRIES, TYPE_RAM] = [20, 128, 1];

/** Empty where there is no list. */
export async function findFirmwareRam(snapshot: Snapshot, pacer: Pacer): Promise<readonly MemoryRegion[]> {
  const end = readableBytes(snapshot);
  for (let at = 0; at < end; at += CHUNK_BYTES) {
    await pacer.turn({ what: "looking for the firmware's list of RAM", done: at, total: end, unit: 'bytes' });
    const read = snapshot.readBytes?.(at, Math.min(CHUNK_BYTES + PARAMS_BYTES, end - at));
    if (read === undefined) break;
    const bytes = Buffer.from(read.buffer, read.byteOffset, read.byteLength);
    for (let found = bytes.indexOf('HdrS', HEADER); found >= 0; found = bytes.indexOf('HdrS', found + 1)) {
      const ram = ramIn(bytes.subarray(found - HEADER, found - HEADER + PARAMS_BYTES));
      if (ram !== undefined) return ram;
    }
  }
  return [];
}

/** Undefined for what is no `boot_params` with a list. */
function ramIn(params: Buffer): readonly MemoryRegion[] | undefined {
  const count = params[COUNT]!;
  if (params.length < PARAMS_BYTES || params.readUInt16LE(BOOT_FLAG) !== 0xaa55 || count > MAX_ENTRIES)
    return undefined;
  const entries = Array.from({ length: count }, (_, index) => {
    const at = ENTRIES + index * ENTRY_BYTES;
    const [pa, byteLength] = [Number(params.readBigUInt64LE(at)), Number(params.readBigUInt64LE(at + 8))];
    return { pa, byteLength, type: params.readUInt32LE(at + 16) };
  });
  // Memory begins with RAM.
  const isList = entries[0]?.type === TYPE_RAM && entries.every(({ pa, byteLength }) => pa + byteLength <= PA_LIMIT);
  return isList && entries[0]!.pa === 0 ? entries.filter(({ type }) => type === TYPE_RAM) : undefined;
}

/** What lies behind an address. */
export function ramBehind(ram: readonly MemoryRegion[], end: number): readonly MemoryRegion[] {
  return ram.flatMap(({ pa: first, byteLength }) => {
    const pa = Math.max(first, end);
    const pages = Math.floor((first + byteLength - pa) / PAGE_BYTES);
    return pages > 0 ? [{ pa, byteLength: pages * PAGE_BYTES }] : [];
  });
}
