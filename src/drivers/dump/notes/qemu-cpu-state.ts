/**
 * QEMU's own note of a vCPU: `QEMUCPUState` in target/i386/arch_dump.c, the same since QEMU 1.2 but for its last field.
 *
 *      0 version, size      32 bits each
 *      8 rax … r15          64 bits each
 *    136 rip, rflags
 *    152 cs ds es fs gs ss ldt tr gdt idt, 24 bytes each: selector, limit, flags, nothing, base
 *    392 cr0 cr1 cr2 cr3 cr4
 *    432 kernel_gs_base     since 4.2
 */
export interface CpuState {
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  /** Where the source has it: QEMU's note does not. */
  readonly efer?: bigint;
}

const CONTROL_REGISTERS = 392;
const LEAST_BYTES = 432;

/** Undefined for a note of another version, or one that is too short. */
export function parseCpuState(note: Buffer): CpuState | undefined {
  if (note.length < LEAST_BYTES || note.readUInt32LE(0) !== 1) return undefined;
  const control = (register: number) => note.readBigUInt64LE(CONTROL_REGISTERS + register * 8);
  return { cr0: control(0), cr3: control(3), cr4: control(4) };
}
