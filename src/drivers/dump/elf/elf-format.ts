/**
 * ELF core files of whole machines: QEMU's `dump-guest-memory` without a format, and Linux's /proc/vmcore. Each PT_LOAD is a piece of
 * physical memory. With `-p` QEMU writes one for each piece of *virtual* memory, so that most physical memory is named more than once.
 */
import { corrupt, type DumpBytes } from '../dump-bytes.ts';
import { DumpRegions } from '../dump-regions.ts';
import type { DumpFormat, OpenedFormat } from '../format.ts';
import { type DumpNotes, readNotes } from '../notes/notes.ts';
import { programHeaders, PT_LOAD, PT_NOTE, readElfHeader } from './elf-header.ts';

export const elfFormat: DumpFormat = {
  name: 'elf',
  recognises: (head) => head.toString('latin1', 0, 4) === '\x7fELF',
  open: openElf,
};

async function openElf(bytes: DumpBytes): Promise<OpenedFormat> {
  const header = readElfHeader(bytes);
  const regions = new DumpRegions(bytes.name);
  let notes: DumpNotes = { cpus: [] };
  let seen = 0;
  for (const { at, type, position, pa, byteLength } of programHeaders(bytes, header)) {
    // Memory that is mapped and is not in the file has no bytes there, and no position.
    if (byteLength === 0) continue;
    if (type === PT_NOTE && seen++ === 0) notes = readNotes(bytes, position, byteLength);
    if (type !== PT_LOAD) continue;
    if (position + byteLength > bytes.byteLength) {
      throw corrupt(
        bytes.name,
        at,
        `a piece of memory should end at ${position + byteLength}, but the file has ${bytes.byteLength} bytes: it is truncated`,
      );
    }
    regions.add({ pa, byteLength, position }, at);
  }
  return {
    description: `ELF core, ${header.count} segments`,
    parts: [{ source: bytes, regions: regions.list() }],
    notes,
  };
}
