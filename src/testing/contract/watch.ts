/** Runs a driver for the checks. */
import { ACCESS_WRITE } from '../../core/memory/page-access.ts';
import type { Driver, SourceEvent } from '../../driver/index.ts';
import type { ContractSubject } from './contract-check.ts';

/** Batches that a check looks at. */
const BATCHES = 300;

/** Runs the source for some batches. Returns whether it ended by itself. */
export async function watch(
  driver: Driver,
  look: (batch: readonly SourceEvent[]) => void | Promise<void>,
): Promise<boolean> {
  let left = BATCHES;
  for await (const batch of driver.run()) {
    await look(batch);
    if (--left === 0) return false;
  }
  return true;
}

/** Write-protects the guest's tables, where the driver can. */
export function protectTables({ driver: { protection }, tables }: ContractSubject): void {
  if (protection === undefined) return;
  for (const gfn of tables().slice(0, 64)) {
    const access = protection.getAccess(0, gfn);
    if (access & ACCESS_WRITE) protection.setAccess(0, gfn, access & ~ACCESS_WRITE);
  }
}
