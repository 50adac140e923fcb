/** Which paging a processor's control registers switch on. Intel SDM vol. 3, 4.1.1 and figure 4-1. */
import type { PagingOptions } from './format.ts';
import type { PagingModeName } from './modes.ts';

const CR0_PG = 1n << 31n;
const CR4_PSE = 1n << 4n;
const CR4_PAE = 1n << 5n;
const CR4_LA57 = 1n << 12n;
const EFER_LMA = 1n << 10n;
const EFER_NXE = 1n << 11n;

/** The registers that decide; CR3 is not one of them. */
export interface PagingControl {
  readonly cr0: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
}

/** The paging that these registers select; undefined while paging is off (CR0.PG = 0). MAXPHYADDR is CPUID's to say. */
export function pagingFromRegisters(registers: PagingControl): PagingOptions | undefined {
  if ((registers.cr0 & CR0_PG) === 0n) return undefined;
  return {
    mode: modeOf(registers),
    noExecuteEnable: (registers.efer & EFER_NXE) !== 0n,
    pageSizeExtensions: (registers.cr4 & CR4_PSE) !== 0n,
  };
}

function modeOf({ cr4, efer }: PagingControl): PagingModeName {
  if ((efer & EFER_LMA) !== 0n) return (cr4 & CR4_LA57) === 0n ? '4-level' : '5-level';
  return (cr4 & CR4_PAE) === 0n ? '32-bit' : 'pae';
}
