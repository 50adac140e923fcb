/** How many watchpoints there are, and of which form. */
import { PtmonError } from '../../../core/error.ts';

/** A processor of x86 has four address registers for breakpoints, DR0 to DR3: SDM vol. 3B, 18.2. */
export const DEBUG_REGISTERS = 4;

export const DEFAULT_MAX_WATCHPOINTS = 8192;

export interface WatchpointLimits {
  readonly max: number;
  /**
   * Watchpoints are debug registers: each covers 1, 2, 4 or 8 bytes that are aligned to that. So none is merged with another, and an
   * entry has one to itself.
   */
  readonly areRegisters: boolean;
}

/** Those of KVM are the debug registers of the processor; those of TCG are limited by what they cost. */
export function limitsOf(isKvm: boolean, wished: number | undefined): WatchpointLimits {
  if (!isKvm) return { max: wished ?? DEFAULT_MAX_WATCHPOINTS, areRegisters: false };
  return { max: Math.min(wished ?? DEBUG_REGISTERS, DEBUG_REGISTERS), areRegisters: true };
}

export function tooMany(count: number, { max, areRegisters }: WatchpointLimits): PtmonError {
  const message = areRegisters
    ? `${count} watchpoints are needed, and KVM has ${max}, the debug registers of the processor: an address needs one for each ` +
      'level of its page tables, so watch a single address (--va), or sample (--mode sample)'
    : `${count} watchpoints are needed, and ${max} are allowed, since each slows the guest down; watch less, allow more ` +
      '(--max-watchpoints), or sample (--mode sample)';
  return new PtmonError('protect-failed', message);
}

export function refusal(refused: number, wanted: number): PtmonError {
  return new PtmonError(
    'protect-failed',
    `QEMU refused ${refused} of ${wanted} watchpoints: other debuggers may use them, and with KVM there are four; watch less, or ` +
      'sample (--mode sample)',
  );
}
