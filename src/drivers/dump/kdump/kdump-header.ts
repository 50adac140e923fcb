/**
 * The headers of kdump-compressed dumps (makedumpfile, IMPLEMENTATION and diskdump_mod.h; QEMU, include/sysemu/dump.h), versions 1 to 6.
 *
 * A file is blocks of 4096 bytes: the header, the sub header, two bitmaps of page frames (those that are RAM, and those that are in the
 * file), a descriptor for each page that is in the file, and the pages. 32-bit kernels write shorter fields:
 *
 *      header            64-bit  32-bit      sub header          64-bit  32-bit
 *      signature              0       0      phys_base                0       0
 *      header_version         8       8      dump_level               8       4
 *      status               424     412      split                   12       8
 *      block_size           428     416      offset_note (4)         48      32
 *      sub_hdr_size         432     420      size_note (4)           56      40
 *      bitmap_blocks        436     424      offset_vmcoreinfo (3)   32      20
 *      max_mapnr            440     428      size_vmcoreinfo (3)     40      28
 *                                            max_mapnr_64 (6)        96      72
 */
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import { PtmonError } from '../../../core/error.ts';
import { corrupt, type DumpBytes, expectInside, readPart, readU64 } from '../dump-bytes.ts';

export const KDUMP_SIGNATURE = 'KDUMP   ';

/** In `status`. */
export const DUMP_INCOMPLETE = 8;
/** In `dump_level`: pages of zeroes were left out. */
export const DUMP_WITHOUT_ZEROES = 1;

/** 64 TiB of memory, the most that 46 bits of physical addresses name; bitmaps for more take minutes to count. */
const MAX_FRAMES = 2 ** 34;

export interface KdumpHeader {
  readonly status: number;
  readonly dumpLevel: number;
  /** One more than the highest frame. */
  readonly frameCount: number;
  /** Of the bitmap of frames that are RAM, and of the one of frames that are in the file. */
  readonly ramBitmap: number;
  readonly fileBitmap: number;
  readonly descriptors: number;
  readonly notes: Part;
  /** The text that Linux leaves for crash dumps. */
  readonly vmcoreinfo: Part;
}

/** A part of the file; none where its length is 0. */
interface Part {
  readonly position: number;
  readonly byteLength: number;
}

/** `utsname.machine`, in both layouts; its fields are that long. QEMU leaves all others empty. */
const MACHINE = 272;
const UTSNAME_BYTES = 65;

const X86 = /^(x86_64|i\d86)$/;
/** Names of `uname -m` for all other machines that Linux makes dumps of. */
const OTHER_MACHINES = /^(aarch64|arm|ppc|s390|ia64|alpha|mips|sparc|parisc|riscv|loongarch|m68k|sh\d)/;

const KNOWN_VERSION = 6;
/** Versions have added fields behind the others so far; what is beyond this is no number of a version. */
const MAX_VERSION = 15;

interface Layout {
  readonly status: number;
  readonly dumpLevel: number;
  readonly split: number;
  readonly notes: number;
  readonly vmcoreinfo: number;
  readonly maxMapnr64: number;
  readonly subHeaderBytes: number;
}

const LAYOUT_64: Layout = {
  status: 424,
  dumpLevel: 8,
  split: 12,
  notes: 48,
  vmcoreinfo: 32,
  maxMapnr64: 96,
  subHeaderBytes: 104,
};
const LAYOUT_32: Layout = {
  status: 412,
  dumpLevel: 4,
  split: 8,
  notes: 32,
  vmcoreinfo: 20,
  maxMapnr64: 72,
  subHeaderBytes: 80,
};

/**
 * @param warnings receives what is odd and decides nothing
 * @throws PtmonError `corrupt-input`; `source-unavailable` for a part of a dump that was split
 */
export function readKdumpHeader(bytes: DumpBytes, warnings: string[]): KdumpHeader {
  const header = readPart(bytes, 0, 464, 'the kdump header');
  const version = header.readInt32LE(8);
  if (version < 1 || version > MAX_VERSION)
    throw corrupt(bytes.name, 8, `unknown version ${version} of kdump's format: ptmon reads 1 to ${KNOWN_VERSION}`);
  if (version > KNOWN_VERSION)
    warnings.push(`unknown version ${version} of kdump's format: read as version ${KNOWN_VERSION}`);
  checkMachine(bytes.name, header, warnings);
  const layout = layoutOf(bytes.name, header);
  const field = (index: number) => header.readUInt32LE(layout.status + index * 4);
  const [status, subHeaderBlocks, bitmapBlocks] = [field(0), field(2), field(3)];
  const sub = readPart(bytes, PAGE_BYTES, layout.subHeaderBytes, 'the kdump sub header');
  if (version >= 2 && sub.readUInt32LE(layout.split) !== 0) {
    throw new PtmonError(
      'source-unavailable',
      `${bytes.name} is one part of a dump that was split; put the parts together with makedumpfile --reassemble`,
    );
  }
  const named = version >= 6 ? readU64(sub, layout.maxMapnr64) : field(4);
  const ramBitmap = (1 + subHeaderBlocks) * PAGE_BYTES;
  const bitmapBytes = Math.floor(bitmapBlocks / 2) * PAGE_BYTES;
  expectInside(bytes, ramBitmap, bitmapBlocks * PAGE_BYTES, 'the bitmaps of page frames');
  const frameCount = Math.min(named, bitmapBytes * 8);
  if (frameCount < named) {
    warnings.push(
      `its bitmaps are too short: of ${named} page frames they have ${frameCount}, and the rest is not read`,
    );
  }
  if (frameCount > MAX_FRAMES) {
    throw corrupt(
      bytes.name,
      PAGE_BYTES + layout.maxMapnr64,
      `${frameCount} page frames are more than any x86 machine has`,
    );
  }
  return {
    status,
    dumpLevel: sub.readUInt32LE(layout.dumpLevel),
    frameCount,
    ramBitmap,
    fileBitmap: ramBitmap + bitmapBytes,
    descriptors: ramBitmap + bitmapBlocks * PAGE_BYTES,
    notes: version >= 4 ? partAt(sub, layout.notes, layout) : NONE,
    vmcoreinfo: version >= 3 ? partAt(sub, layout.vmcoreinfo, layout) : NONE,
  };
}

/**
 * The machine decides nothing that the block size does not, but the tables of another one would be read as x86's. makedumpfile before
 * 1.6.9 writes the name 4 bytes too low for kernels from 5.11 on, so that its place has only "64".
 *
 * @throws PtmonError `corrupt-input` for the dump of another machine
 */
function checkMachine(name: string, header: Buffer, warnings: string[]): void {
  const at = (position: number) => header.toString('latin1', position, position + UTSNAME_BYTES).split('\0')[0]!;
  const machine = at(MACHINE);
  if (machine === '' || X86.test(machine)) return;
  const other = [machine, at(MACHINE - 4)].find((each) => OTHER_MACHINES.test(each));
  if (other !== undefined) {
    throw corrupt(name, MACHINE, `it is the dump of a machine ${JSON.stringify(other)}, not of an x86 one`);
  }
  warnings.push(
    `its header calls the machine ${JSON.stringify(machine)}, which is not a machine: ptmon takes it for x86 ` +
      '(makedumpfile before 1.6.9 writes the name 4 bytes off for kernels from 5.11)',
  );
}

/**
 * In the other layout another number may lie there that is the same: where 32-bit kernels write how many frames there are. What lies
 * behind it tells, since there is a sub header.
 */
function layoutOf(name: string, header: Buffer): Layout {
  const layouts = [LAYOUT_64, LAYOUT_32].filter(({ status }) => header.readUInt32LE(status + 4) === PAGE_BYTES);
  const layout = layouts.find(({ status }) => header.readUInt32LE(status + 8) > 0) ?? layouts[0];
  if (layout !== undefined) return layout;
  const at = LAYOUT_64.status + 4;
  const size = header.readUInt32LE(at);
  throw corrupt(name, at, `its blocks are of ${size} bytes; those of an x86 machine are of ${PAGE_BYTES}`);
}

const NONE: Part = { position: 0, byteLength: 0 };

/** Where it is, 64 bits wide in both layouts, and how long. */
function partAt(sub: Buffer, at: number, layout: Layout): Part {
  const byteLength = layout === LAYOUT_64 ? readU64(sub, at + 8) : sub.readUInt32LE(at + 8);
  return { position: readU64(sub, at), byteLength };
}
