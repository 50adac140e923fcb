/**
 * ELF core files of whole machines: QEMU's `dump-guest-memory` without a format, and Linux's /proc/vmcore. Each PT_LOAD is a piece of
 * physical memory. With `-p` QEMU writes one for each piece of *virtual* memory, so that most physical memory is named more than once.
 */
import { corrupt, type DumpBytes } from '../dump-bytes.ts';
import { DumpRegions } from '../dump-regions.ts';
import type { DumpFormat, OpenedFormat } from '../format.ts';
import { PA_LIMIT } from '../../../core/address/pa.ts';
import { sizeText } from '../../ramfile/index.ts';
import { NoteReader } from '../notes/notes.ts';
import type { LongWorkOptions } from '../../../driver/pacer.ts';
import { openXenCore, xenSections } from './xen-core.ts';
import { ZeroBytes } from '../zero-bytes.ts';
import { programHeaders, PT_LOAD, PT_NOTE, readElfHeader } from './elf-header.ts';

/** -1, in either class. */
const NO_POSITION = 2 ** 32 - 1;

export const elfFormat: DumpFormat = {
  name: 'elf',
  recognises: (head) => head.toString('latin1', 0, 4) === '\x7fELF',
  open: openElf,
};

async function openElf(bytes: DumpBytes, options: LongWorkOptions): Promise<OpenedFormat> {
  const xen = xenSections(bytes);
  if (xen !== undefined) return openXenCore(bytes, xen, options);
  const header = readElfHeader(bytes);
  const regions = new DumpRegions(bytes.name);
  const warnings: string[] = [];
  /** Between p_filesz and p_memsz: what makedumpfile leaves out of an ELF core. */
  const zeroes = new DumpRegions(bytes.name);
  const notes = new NoteReader(bytes, warnings);
  const process = new ProcessCoreTest();
  for (const { at, type, position, va, pa, byteLength, memoryBytes } of programHeaders(bytes, header)) {
    // QEMU's mark of memory that is mapped and is no RAM: it has no bytes, and no position.
    if (byteLength === 0 && position >= NO_POSITION) continue;
    if (type === PT_NOTE) notes.readSegment(position, byteLength);
    if (type !== PT_LOAD) continue;
    process.add(va, pa);
    regions.add({ pa, byteLength, position }, at, bytes.byteLength);
    if (memoryBytes > byteLength && pa + memoryBytes <= PA_LIMIT) {
      zeroes.add({ pa: pa + byteLength, byteLength: memoryBytes - byteLength, position: pa + byteLength }, at);
    }
  }
  if (process.isLikely) throw corrupt(bytes.name, 0, process.why);
  const list = regions.list();
  const left = zeroes.listWithout(list);
  if (left.length > 0) {
    const byteLength = left.reduce((sum, region) => sum + region.byteLength, 0);
    warnings.push(
      `${sizeText(byteLength)} of memory are not in the file and read as zeroes, whatever makedumpfile left out`,
    );
  }
  return {
    description: `ELF core, ${header.count} segments`,
    parts: [
      { source: bytes, regions: list },
      { source: new ZeroBytes(bytes.name), regions: left },
    ],
    notes: notes.notes,
    missing: regions.missing,
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
