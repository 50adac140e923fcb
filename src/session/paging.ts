/** The paging of a session: as given, and for the rest that of the recorded session, or of the guest's registers. */
import { PtmonError } from '../core/error.ts';
import { makePaging, type Paging } from '../core/paging/format.ts';
import { pagingOf } from '../driver/paging.ts';
import type { SessionOptions } from './options.ts';

/** @throws PtmonError `bad-argument` where the mode is neither given nor known from the driver's registers, `source-unavailable` while paging is off */
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
  const off =
    'paging is off on vCPU 0 (CR0.PG is 0): the guest has no page tables yet. Let it boot, or give the paging mode';
  throw new PtmonError('source-unavailable', off, { vcpu: 0 });
}
