/**
 * The registers of a dump's vCPUs.
 *
 * QEMU's note has the control registers and not EFER. Whether the machine is in IA-32e mode, its other note says, which has another
 * size then. EFER.NXE is taken to be on: 64-bit systems and PAE ones that know XD turn it on before anything else, and where it is
 * off, no entry has bit 63 set, so that it makes no difference.
 */
import type { PagingRegisters, RegisterAccess } from '../../../driver/driver.ts';
import { knownRegisters } from '../../../driver/known-registers.ts';
import type { DumpNotes } from './notes.ts';

const CR0_PG = 1n << 31n;
const EFER_LME = 1n << 8n;
const EFER_LMA = 1n << 10n;
const EFER_NXE = 1n << 11n;

/** Undefined where no note tells. */
export function registersFrom({ cpus, isLongMode }: DumpNotes): RegisterAccess | undefined {
  if (cpus.length === 0 || (isLongMode === undefined && cpus.some(({ efer }) => efer === undefined))) return undefined;
  const vcpus = cpus.map(({ cr0, cr3, cr4, efer }): PagingRegisters => {
    if (efer !== undefined) return { cr0, cr3, cr4, efer };
    // A vCPU that has not been started has paging off, whatever the others do.
    const active = isLongMode === true && (cr0 & CR0_PG) !== 0n ? EFER_LME | EFER_LMA : 0n;
    return { cr0, cr3, cr4, efer: EFER_NXE | active };
  });
  return knownRegisters('dump', vcpus);
}
