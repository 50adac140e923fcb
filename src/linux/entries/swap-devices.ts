/**
 * The devices and files that Linux swaps to, by their numbers. The kernel's table of them (`swap_info`, mm/swapfile.c) has no name in
 * memory: it is found in the kernel's data as pointers to what describes a device and its own number.
 */
import { offsetsOf } from '../btf/offsets.ts';
import type { LinuxKernel } from '../kernel/kernel.ts';
import { DentryPaths } from '../maps/dentry-path.ts';
import { attempt } from '../memory/guest-fault.ts';
import type { Steps } from '../memory/steps.ts';

const CHUNK_BYTES = 1 << 18;
const WORDS_PER_STEP = 256;
/** include/linux/swap.h: SWP_USED, and more than all of the flags. */
const SWP_USED = 1n;
const MAX_FLAGS = 0xffffn;
/** include/linux/fs.h: S_SWAPFILE, set on what is swapped to. */
const S_SWAPFILE = 0x100;
const MAX_DEVICES = 32;

export interface SwapDevice {
  readonly number: number;
  /** As /proc/swaps has it. */
  readonly path: string;
}

/** Looks through the kernel's data. @throws PtmonError `not-fetched`; `corrupt-input` where the BTF does not describe them */
export function* findSwapDevices(kernel: LinuxKernel): Steps<SwapDevice[]> {
  const reader = new DeviceReader(kernel);
  const found = new Map<number, SwapDevice>();
  const seen = new Set<bigint>();
  const { wordBytes, kernelStart } = kernel.memory;
  const step = wordBytes / 4;
  // Of the highest word of an address of the kernel's.
  const least = Number(wordBytes === 8 ? kernelStart >> 32n : kernelStart);
  for (const piece of kernel.image) {
    if (!piece.writable) continue;
    for (let at = 0; at < piece.byteLength; at += CHUNK_BYTES) {
      const va = piece.va + BigInt(at);
      const bytes = attempt(() => kernel.memory.bytes(va, Math.min(CHUNK_BYTES, piece.byteLength - at)));
      if (bytes === undefined) continue;
      const words = new Uint32Array(bytes.buffer);
      for (let word = 0; word < words.length; word += step) {
        if (word % WORDS_PER_STEP === 0) yield;
        const lo = words[word]!;
        const top = step === 2 ? words[word + 1]! : lo;
        if (top < least || (lo & 3) !== 0) continue;
        const pointer = step === 2 ? (BigInt(top) << 32n) | BigInt(lo) : BigInt(lo);
        if (seen.has(pointer)) continue;
        seen.add(pointer);
        const device = attempt(() => reader.deviceAt(pointer));
        if (device !== undefined) found.set(device.number, device);
      }
    }
  }
  return [...found.values()].sort((a, b) => a.number - b.number);
}

class DeviceReader {
  readonly #kernel: LinuxKernel;
  readonly #paths: DentryPaths;
  readonly #info: Readonly<Record<'flags' | 'type' | 'max' | 'pages' | 'swap_file', number>>;
  readonly #file: number;
  readonly #host: number;
  readonly #inodeFlags: number;

  constructor(kernel: LinuxKernel) {
    const { btf } = kernel;
    this.#kernel = kernel;
    this.#paths = new DentryPaths(kernel.memory, btf);
    this.#info = offsetsOf(btf, 'swap_info_struct', ['flags', 'type', 'max', 'pages', 'swap_file']);
    this.#file = offsetsOf(btf, 'file', ['f_mapping']).f_mapping;
    this.#host = offsetsOf(btf, 'address_space', ['host']).host;
    this.#inodeFlags = offsetsOf(btf, 'inode', ['i_flags']).i_flags;
  }

  /** Undefined, or GuestFault, where no device is described at `at`. */
  deviceAt(at: bigint): SwapDevice | undefined {
    const { memory } = this.#kernel;
    const info = this.#info;
    // Most of what is looked at is something else: what tells soonest is read first.
    const flags = memory.pointer(at + BigInt(info.flags));
    if (flags > MAX_FLAGS || (flags & SWP_USED) === 0n) return undefined;
    const number = memory.u8(at + BigInt(info.type));
    if (number >= MAX_DEVICES) return undefined;
    const max = memory.u32(at + BigInt(info.max));
    if (max === 0 || memory.u32(at + BigInt(info.pages)) >= max) return undefined;
    const file = memory.pointer(at + BigInt(info.swap_file));
    const host = memory.pointer(memory.pointer(file + BigInt(this.#file)) + BigInt(this.#host));
    if ((memory.u32(host + BigInt(this.#inodeFlags)) & S_SWAPFILE) === 0) return undefined;
    return { number, path: this.#paths.fileAt(file).path };
  }
}
