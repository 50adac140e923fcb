/** QEMU's map of physical memory, as the monitor's `info mtree -f` prints it: softmmu/memory.c, mtree_print_flatview. */
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import { PtmonError } from '../../../core/error.ts';

/** A range of physical memory that is one stretch of one of QEMU's blocks of RAM. */
export interface RamPiece {
  /** A multiple of 4096. */
  readonly pa: number;
  /** A multiple of 4096. */
  readonly byteLength: number;
  /** The block's name: `pc.ram`, or the id of a memory backend. Two blocks may have the same name. */
  readonly block: string;
  /** Of the first byte, in the block. */
  readonly offset: number;
}

/**
 * What can be read like RAM. The firmware's ROM is, and so is RAM that the chipset write-protects (`rom` of a RAM block); devices
 * are not, those that are mapped into the guest (`ramd`) among them.
 */
const READABLE = new Set(['ram', 'rom', 'romd']);

/** `0000000000000000-00000000000bffff (prio 0, ram): pc.ram @0000000000000000 KVM`. KVM adds its name, once or more. */
const RANGE =
  /^\s+([\da-f]+)-([\da-f]+) \(prio -?\d+, (?:nv-)?([\w/]+)\): (.*?)(?: @([\da-f]{16}))?(?: kvm[\w:-]*)*\s*$/i;

/**
 * The pieces of RAM that a vCPU sees outside of system management mode, in ascending order; whole pages of them.
 *
 * @throws PtmonError `corrupt-input` for what is not such a map
 */
export function parseMemoryTree(text: string): readonly RamPiece[] {
  const views = text.split(/^FlatView #\d+/m);
  const view = ['memory', 'cpu-memory-0'].flatMap((space) =>
    views.filter((candidate) => candidate.includes(`\n AS "${space}", root: `)),
  )[0];
  if (view === undefined) {
    throw new PtmonError('corrupt-input', `QEMU printed no map of its memory: "${text.trim().slice(0, 60)}"`);
  }
  const pieces = view.split('\n').flatMap(piecesOf);
  if (pieces.length === 0) throw new PtmonError('corrupt-input', 'the map of memory that QEMU printed lists no RAM');
  return pieces;
}

function piecesOf(line: string): RamPiece[] {
  const [, first, last, kind, block, offset] = RANGE.exec(line) ?? [];
  if (block === undefined || !READABLE.has(kind!)) return [];
  const begin = Number(`0x${first}`);
  const pa = Math.ceil(begin / PAGE_BYTES) * PAGE_BYTES;
  const end = Math.floor((Number(`0x${last}`) + 1) / PAGE_BYTES) * PAGE_BYTES;
  if (end <= pa) return [];
  return [{ pa, byteLength: end - pa, block, offset: (offset === undefined ? 0 : Number(`0x${offset}`)) + pa - begin }];
}
