/**
 * The header of an ELF core file and its program headers, of both classes (System V ABI, chapters 4 and 5; elf(5)). QEMU writes ELF64 for
 * x86-64 guests and those with memory above 4 GiB, ELF32 for the others (target/i386/arch_dump.c, cpu_get_dump_info).
 */
import { corrupt, type DumpBytes, readPart, readU64 } from '../dump-bytes.ts';

export const PT_LOAD = 1;
export const PT_NOTE = 4;

/** `e_phnum` where there are more: then `sh_info` of the first section header is their number. */
const PN_XNUM = 0xffff;

const ET_CORE = 4;
const EM_386 = 3;
const EM_X86_64 = 62;

/** More would be 224 MiB of headers. QEMU would take days to write them: it inserts each into a sorted list. */
const MAX_PROGRAM_HEADERS = 2 ** 22;
/** Headers that are read at once. */
const BATCH = 1024;

export interface ElfHeader {
  readonly is64: boolean;
  readonly position: number;
  readonly count: number;
  readonly entryBytes: number;
}

export interface ProgramHeader {
  /** Of the header itself. */
  readonly at: number;
  readonly type: number;
  readonly position: number;
  readonly va: number;
  readonly pa: number;
  /** In the file. */
  readonly byteLength: number;
  /** In memory: what is not in the file is zeroes. */
  readonly memoryBytes: number;
}

/** @throws PtmonError `corrupt-input` for what is not a core file of an x86 machine */
export function readElfHeader(bytes: DumpBytes): ElfHeader {
  const ident = readPart(bytes, 0, 16, 'the ELF identification');
  const is64 = ident[4] === 2;
  if (!is64 && ident[4] !== 1) throw corrupt(bytes.name, 4, `ELF class ${ident[4]} is neither 32-bit nor 64-bit`);
  if (ident[5] !== 1) throw corrupt(bytes.name, 5, 'it is big-endian, and no x86 machine is');
  const header = readPart(bytes, 0, is64 ? 64 : 52, 'the ELF header');
  if (header.readUInt16LE(16) !== ET_CORE) {
    throw corrupt(
      bytes.name,
      16,
      'it is an ELF file, but not a core file: a program or a kernel, no memory of a machine',
    );
  }
  const machine = header.readUInt16LE(18);
  if (machine !== EM_X86_64 && machine !== EM_386) {
    throw corrupt(bytes.name, 18, `it is the core of machine ${machine}, not of an x86 one`);
  }
  const position = is64 ? readU64(header, 32) : header.readUInt32LE(28);
  const sections = is64 ? readU64(header, 40) : header.readUInt32LE(32);
  const entryBytes = header.readUInt16LE(is64 ? 54 : 42);
  if (entryBytes !== (is64 ? 56 : 32)) {
    throw corrupt(bytes.name, is64 ? 54 : 42, `its program headers have ${entryBytes} bytes each`);
  }
  const written = header.readUInt16LE(is64 ? 56 : 44);
  const count = written === PN_XNUM ? extendedCount(bytes, sections, is64) : written;
  if (count > MAX_PROGRAM_HEADERS) {
    throw corrupt(bytes.name, is64 ? 56 : 44, `${count} program headers are more than ${MAX_PROGRAM_HEADERS}`);
  }
  return { is64, position, count, entryBytes };
}

/** In the order of the file, a batch in memory at a time. @throws PtmonError `corrupt-input` beyond the file's end */
export function* programHeaders(bytes: DumpBytes, header: ElfHeader): Generator<ProgramHeader, void, undefined> {
  const { is64, position, count, entryBytes } = header;
  for (let first = 0; first < count; first += BATCH) {
    const start = position + first * entryBytes;
    const batch = readPart(bytes, start, Math.min(BATCH, count - first) * entryBytes, 'a table of program headers');
    for (let at = 0; at < batch.length; at += entryBytes) {
      const type = batch.readUInt32LE(at);
      yield is64
        ? {
            at: start + at,
            type,
            position: readU64(batch, at + 8),
            va: readU64(batch, at + 16),
            pa: readU64(batch, at + 24),
            byteLength: readU64(batch, at + 32),
            memoryBytes: readU64(batch, at + 40),
          }
        : {
            at: start + at,
            type,
            position: batch.readUInt32LE(at + 4),
            va: batch.readUInt32LE(at + 8),
            // Of 32 bits, all ones is no address either.
            pa: batch.readUInt32LE(at + 12) === 0xffffffff ? Infinity : batch.readUInt32LE(at + 12),
            byteLength: batch.readUInt32LE(at + 16),
            memoryBytes: batch.readUInt32LE(at + 20),
          };
    }
  }
}

function extendedCount(bytes: DumpBytes, sections: number, is64: boolean): number {
  if (sections === 0)
    throw corrupt(bytes.name, is64 ? 56 : 44, 'more than 65534 program headers, and nothing says how many');
  const section = readPart(bytes, sections, is64 ? 64 : 40, 'the first section header');
  return section.readUInt32LE(is64 ? 44 : 28);
}
