/** From a vCPU's registers to its paging: the one place that joins what they switch on with what the processor can address. */
import { makePaging, type Paging, type PagingOptions } from '../core/paging/format.ts';
import { pagingFromRegisters } from '../core/paging/registers.ts';
import type { RegisterAccess } from './driver.ts';

/**
 * The paging of a vCPU; undefined while it is off (CR0.PG is 0).
 *
 * @param given takes precedence over what the registers and MAXPHYADDR say
 * @throws PtmonError `bad-argument` for a vCPU that does not exist, and for impossible options
 */
export function pagingOf(
  registers: RegisterAccess,
  vcpu: number,
  given: Partial<PagingOptions> = {},
): Paging | undefined {
  const found = pagingFromRegisters(registers.readRegisters(vcpu));
  if (found === undefined) return undefined;
  const { physicalAddressBits } = registers;
  return makePaging({
    ...found,
    ...(physicalAddressBits !== undefined && { physicalAddressBits }),
    ...given,
    mode: given.mode ?? found.mode,
  });
}
