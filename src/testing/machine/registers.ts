/** The control registers that paging depends on. Intel SDM vol. 3, 2.5 (CR0, CR4) and 2.2.1 (IA32_EFER). */
import type { PagingModeName } from '../../core/paging/modes.ts';
import type { PagingRegisters } from '../../driver/driver.ts';

export const CR0_PE = 1n << 0n;
export const CR0_WP = 1n << 16n;
export const CR0_PG = 1n << 31n;
export const CR4_PSE = 1n << 4n;
export const CR4_PAE = 1n << 5n;
export const CR4_PGE = 1n << 7n;
export const CR4_LA57 = 1n << 12n;
export const CR4_PCIDE = 1n << 17n;
export const EFER_LME = 1n << 8n;
export const EFER_LMA = 1n << 10n;
export const EFER_NXE = 1n << 11n;

/** After power-up and after a reset (SDM vol. 3, table 10-1): caches off, paging off. */
export const RESET_REGISTERS: PagingRegisters = { cr0: 0x60000010n, cr3: 0n, cr4: 0n, efer: 0n };

/** What an operating system loads to run in this mode, on the given CR3. */
export function registersFor(mode: PagingModeName, cr3: bigint): PagingRegisters {
  const cr0 = CR0_PE | CR0_WP | CR0_PG | 0x10n;
  const long = EFER_LME | EFER_LMA | EFER_NXE;
  switch (mode) {
    case '5-level':
      return { cr0, cr3, cr4: CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_LA57, efer: long };
    case '4-level':
      return { cr0, cr3, cr4: CR4_PAE | CR4_PGE | CR4_PCIDE, efer: long };
    case 'pae':
      return { cr0, cr3, cr4: CR4_PAE | CR4_PGE, efer: EFER_NXE };
    case '32-bit':
      return { cr0, cr3, cr4: CR4_PSE | CR4_PGE, efer: 0n };
  }
}
