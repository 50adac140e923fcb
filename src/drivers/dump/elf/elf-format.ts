/**
 * ELF core files of whole machines: QEMU's `dump-guest-memory` without a format, and Linux's /proc/vmcore. Each PT_LOAD is a piece of
 * physical memory. With `-p` QEMU writes one for each piece of *virtual* memory, so that most physical memory is named more than once.
 */
import { corrupt, type DumpBytes } from '../dump-bytes.ts';
import { DumpRegions } from '../dump-regions.ts';
import type { DumpFormat, OpenedFormat } from '../format.ts';
import { NoteReader } from '../notes/notes.ts';
import { programHeaders, PT_LOAD, PT_NOTE, readElfHeader } from './elf-header.ts';

export const elfFormat: DumpFormat = {
  name: 'elf',
  recognises: (head) => head.toString('latin1', 0, 4) === '\x7fELF',
  open: openElf,
};

async function openElf(bytes: DumpBytes): Promise<OpenedFormat> {
  const header = readElfHeader(bytes);
  const regions = new DumpRegions(bytes.name);
  const warnings: string[] = [];
  const notes = new NoteReader(bytes, warnings);
  const process = new ProcessCoreTest();
  for (const { at, type, position, va, pa, byteLength } of programHeaders(bytes, header)) {
    // Memory that is mapped and is not in the file has no bytes there, and no position.
    if (byteLength === 0) continue;
    if (type === PT_NOTE) notes.readSegment(position, byteLength);
    if (type !== PT_LOAD) continue;
    process.add(va, pa);
    regions.add({ pa, byteLength, position }, at, bytes.byteLength);
  }
  if (process.isLikely) throw corrupt(bytes.name, 0, process.why);
  const list = regions.list();
  return {
    description: `ELF core, ${header.count} segments`,
    parts: [{ source: bytes, regions: list }],
    notes: notes.notes,
    warnings: [...regions.warnings, ...warnings],
  };
}

/** Linux and gdb write the core of a process with physical address 0 in every segment. */
class ProcessCoreTest {
  #first: number | undefined;
  #segments = 0;
  #isAllZero = true;
  #areAlike = true;

  add(va: number, pa: number): void {
    this.#segments++;
    this.#first ??= va;
    if (va !== this.#first) this.#areAlike = false;
    if (pa !== 0) this.#isAllZero = false;
  }

  get isLikely(): boolean {
    return this.#isAllZero && !this.#areAlike;
  }

  get why(): string {
    return (
      `its ${this.#segments} segments all have physical address 0, so it is the core of a process: it has no page tables. ` +
      "Dump the whole machine, as with QEMU's dump-guest-memory"
    );
  }
}
