/**
 * The notes of a dump (System V ABI, "Note Section"; QEMU, target/i386/arch_dump.c): what is known of the machine besides its memory.
 *
 * A note is three 32-bit words (length of the name, length of the rest, type), the name, and the rest, both padded to 4 bytes.
 */
import { type DumpBytes, corrupt, expectInside, readPart } from '../dump-bytes.ts';
import { parseCpuState, type CpuState } from './qemu-cpu-state.ts';

export interface DumpNotes {
  /** By vCPU, where QEMU wrote the dump. */
  readonly cpus: readonly CpuState[];
  /** Whether the processors are in IA-32e mode: their NT_PRSTATUS is x86-64's. Undefined where there is none. */
  readonly isLongMode?: boolean;
  /** The text that Linux leaves for crash dumps, where it came into the file. */
  readonly vmcoreinfo?: string;
}

/** Those of 16,000 vCPUs; a longer segment lies. */
const MAX_NOTES_BYTES = 16 * 2 ** 20;
const MAX_VMCOREINFO_BYTES = 2 ** 20;

const NT_PRSTATUS = 1;
/** `struct elf_prstatus` of x86-64, and of i386. */
const PRSTATUS_BYTES_64 = 336;
const PRSTATUS_BYTES_32 = 144;

/** @throws PtmonError `corrupt-input` for notes that do not fit into their segment, or into the file */
export function readNotes(bytes: DumpBytes, position: number, byteLength: number): DumpNotes {
  expectInside(bytes, position, byteLength, 'a segment of notes');
  if (byteLength > MAX_NOTES_BYTES) {
    throw corrupt(bytes.name, position, `${byteLength} bytes of notes are more than any machine has`);
  }
  const notes = readPart(bytes, position, byteLength, 'a segment of notes');
  const cpus: CpuState[] = [];
  let isLongMode: boolean | undefined;
  let vmcoreinfo: string | undefined;
  for (let at = 0; at + 12 <= byteLength; ) {
    const [nameBytes, restBytes, type] = [0, 4, 8].map((field) => notes.readUInt32LE(at + field)) as [
      number,
      number,
      number,
    ];
    const start = at + 12 + padded(nameBytes);
    if (start + restBytes > byteLength) throw corrupt(bytes.name, position + at, 'a note reaches beyond its segment');
    const [owner] = notes.toString('latin1', at + 12, at + 12 + Math.min(nameBytes, 16)).split('\0');
    const rest = notes.subarray(start, start + restBytes);
    if (owner === 'QEMU' && type === 0) {
      const state = parseCpuState(rest, () => corrupt(bytes.name, position + at, "QEMU's note of a vCPU is too short"));
      if (state !== undefined) cpus.push(state);
    } else if (owner === 'CORE' && type === NT_PRSTATUS) {
      if (restBytes === PRSTATUS_BYTES_64) isLongMode = true;
      else if (restBytes === PRSTATUS_BYTES_32) isLongMode ??= false;
    } else if (owner === 'VMCOREINFO') {
      vmcoreinfo = rest.toString('latin1', 0, MAX_VMCOREINFO_BYTES);
    }
    at = start + padded(restBytes);
  }
  return { cpus, ...(isLongMode !== undefined && { isLongMode }), ...(vmcoreinfo !== undefined && { vmcoreinfo }) };
}

/** @throws PtmonError `corrupt-input` for what is not in the file, or too long for a text of some pages */
export function readVmcoreinfo(bytes: DumpBytes, position: number, byteLength: number): string {
  if (byteLength > MAX_VMCOREINFO_BYTES) {
    throw corrupt(bytes.name, position, `VMCOREINFO of ${byteLength} bytes is none of Linux`);
  }
  return readPart(bytes, position, byteLength, 'VMCOREINFO').toString('latin1');
}

function padded(byteLength: number): number {
  return Math.ceil(byteLength / 4) * 4;
}
