/**
 * The notes of a dump (System V ABI, "Note Section"; QEMU, target/i386/arch_dump.c): what is known of the machine besides its memory.
 *
 * A note is three 32-bit words (length of the name, length of the rest, type), the name, and the rest, both padded to 4 bytes.
 */
import { hex } from '../../../core/address/va.ts';
import { type DumpBytes, hasBytes, readPart } from '../dump-bytes.ts';
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
const QEMU_CPU_STATE = 0;
/** VirtualBox (VBoxManage debugvm dumpvmcore): DBGFCORECPU of include/VBox/vmm/dbgfcorefmt.h, up to EFER. */
const NT_VBOXCPU = 0xb01;
const VBOX_CONTROL_REGISTERS = 288;
const VBOX_EFER = 488;
const VBOX_CPU_BYTES = VBOX_EFER + 8;
/** `struct elf_prstatus` of x86-64, and of i386. */
const PRSTATUS_BYTES_64 = 336;
const PRSTATUS_BYTES_32 = 144;

/** Notes that are collected segment by segment. What is wrong with some of them is a warning: memory can be read without. */
export class NoteReader {
  readonly #bytes: DumpBytes;
  readonly #warnings: string[];
  readonly #cpus: CpuState[] = [];
  #isLongMode: boolean | undefined;
  #vmcoreinfo: string | undefined;
  /** Bytes that may still be read. */
  #rest = MAX_NOTES_BYTES;

  /** @param warnings receives what is wrong */
  constructor(bytes: DumpBytes, warnings: string[]) {
    this.#bytes = bytes;
    this.#warnings = warnings;
  }

  get notes(): DumpNotes {
    const [isLongMode, vmcoreinfo] = [this.#isLongMode, this.#vmcoreinfo];
    return {
      cpus: this.#cpus,
      ...(isLongMode !== undefined && { isLongMode }),
      ...(vmcoreinfo !== undefined && { vmcoreinfo }),
    };
  }

  /** Reads a segment of notes. */
  readSegment(position: number, byteLength: number): void {
    if (byteLength > this.#rest) {
      return this.#warn(position, `${byteLength} bytes of notes are more than any machine has, so they are not read`);
    }
    if (!hasBytes(this.#bytes, position, byteLength)) {
      return this.#warn(position, `${byteLength} bytes of notes lie beyond the end of the file, so they are not read`);
    }
    this.#rest -= byteLength;
    const notes = readPart(this.#bytes, position, byteLength, 'a segment of notes');
    for (let at = 0; at + 12 <= byteLength; ) {
      const [nameBytes, restBytes, type] = [0, 4, 8].map((field) => notes.readUInt32LE(at + field)) as [
        number,
        number,
        number,
      ];
      const start = at + 12 + padded(nameBytes);
      if (start + restBytes > byteLength) {
        return this.#warn(position + at, 'a note reaches beyond its segment, so it and those behind it are not read');
      }
      const [owner = ''] = notes.toString('latin1', at + 12, at + 12 + Math.min(nameBytes, 16)).split('\0');
      this.#take(owner, type, notes.subarray(start, start + restBytes), position + at);
      at = start + padded(restBytes);
    }
  }

  /** Reads the text of VMCOREINFO where a header says where it is. */
  readVmcoreinfo(position: number, byteLength: number): void {
    if (byteLength > MAX_VMCOREINFO_BYTES || !hasBytes(this.#bytes, position, byteLength)) {
      return this.#warn(position, `VMCOREINFO of ${byteLength} bytes is not in the file, so it is not read`);
    }
    this.#vmcoreinfo = readPart(this.#bytes, position, byteLength, 'VMCOREINFO').toString('latin1');
  }

  #take(owner: string, type: number, rest: Buffer, at: number): void {
    if (owner === 'QEMU' && type === QEMU_CPU_STATE) {
      const state = parseCpuState(rest);
      if (state === undefined) this.#warn(at, "QEMU's note of a vCPU is too short or of another version: not read");
      else this.#cpus.push(state);
    } else if (owner === 'CORE' && type === NT_PRSTATUS) {
      if (rest.length === PRSTATUS_BYTES_64) this.#isLongMode = true;
      else if (rest.length === PRSTATUS_BYTES_32) this.#isLongMode ??= false;
    } else if (owner === 'VBCPU' && type === NT_VBOXCPU) {
      if (rest.length < VBOX_CPU_BYTES) this.#warn(at, "VirtualBox's note of a vCPU is too short, so it is not read");
      else this.#cpus.push(vboxCpu(rest));
    } else if (owner === 'VMCOREINFO') {
      this.#vmcoreinfo = rest.toString('latin1', 0, MAX_VMCOREINFO_BYTES);
    }
  }

  #warn(offset: number, why: string): void {
    this.#warnings.push(`at offset ${hex(offset)}: ${why}`);
  }
}

/** CR0, CR2, CR3 and CR4 follow each other. */
function vboxCpu(note: Buffer): CpuState {
  const control = (index: number) => note.readBigUInt64LE(VBOX_CONTROL_REGISTERS + index * 8);
  return { cr0: control(0), cr3: control(2), cr4: control(3), efer: note.readBigUInt64LE(VBOX_EFER) };
}

function padded(byteLength: number): number {
  return Math.ceil(byteLength / 4) * 4;
}
