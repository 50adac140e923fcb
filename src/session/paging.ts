/** The paging of a session: as given, and for the rest that of the recorded session, or of the guest's registers. */
import { PtmonError } from '../core/error.ts';
import { makePaging, type Paging } from '../core/paging/format.ts';
import { pagingOf } from '../driver/paging.ts';
import type { SessionOptions } from './options.ts';

/** @throws PtmonError `bad-argument` where the mode is neither given nor known from the driver's registers */
export function resolvePaging(options: Pick<SessionOptions, 'driver' | 'script' | 'paging'>): Paging {
  const { driver, script, paging: given = {} } = options;
  if ('levels' in given) return given;
  if (given.mode !== undefined) return makePaging({ ...given, mode: given.mode });
  if (script !== undefined) return makePaging({ ...script.paging, ...given });
  if (driver.registers === undefined) {
    throw new PtmonError('bad-argument', `source ${driver.name} has no registers: the paging mode must be given`);
  }
  const paging = pagingOf(driver.registers, 0, given);
  if (paging !== undefined) return paging;
  throw new PtmonError('bad-argument', 'paging is off on vCPU 0 (CR0.PG): the paging mode must be given', { vcpu: 0 });
}
