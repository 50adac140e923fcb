/** Which paging a session assumes: what it was told, and for the rest what the session to be repeated says, or the guest's registers. */
import { PtmonError } from '../core/error.ts';
import { makePaging, type Paging, type PagingOptions } from '../core/paging/format.ts';
import type { Driver } from '../driver/driver.ts';
import { pagingOf } from '../driver/paging.ts';

/** @throws PtmonError `bad-argument` where the mode is neither told nor to be had from the driver's registers */
export function resolvePaging(driver: Driver, told: Paging | Partial<PagingOptions> = {}): Paging {
  if ('levels' in told) return told;
  if (told.mode !== undefined) return makePaging({ ...told, mode: told.mode });
  if (driver.script !== undefined) return makePaging({ ...driver.script.paging, ...told });
  if (driver.registers === undefined) {
    throw new PtmonError('bad-argument', `source ${driver.name} has no registers: the paging mode must be given`);
  }
  const paging = pagingOf(driver.registers, 0, told);
  if (paging !== undefined) return paging;
  throw new PtmonError('bad-argument', 'paging is off on vCPU 0 (CR0.PG): the paging mode must be given', { vcpu: 0 });
}
