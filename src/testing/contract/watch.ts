/** Runs a driver for the checks. */
import { ACCESS_WRITE } from '../../core/memory/page-access.ts';
import type { Driver, SourceEvent } from '../../driver/index.ts';
import type { ContractSubject } from './contract-check.ts';

/** Batches that a check looks at. */
const BATCHES = 300;

/** How long a check waits at most for what it needs to see: batches are empty while the guest is idle, or gets no processor of a busy host. */
const MOST_MS = 30_000;

/**
 * Runs the source for some batches, and on until the check has seen what it needs. Returns whether it ended by itself.
 *
 * @param hasSeenEnough defaults to: it has
 */
export async function watch(
  driver: Driver,
  look: (batch: readonly SourceEvent[]) => void | Promise<void>,
  hasSeenEnough: () => boolean = () => true,
): Promise<boolean> {
  const endMs = performance.now() + MOST_MS;
  let batches = 0;
  for await (const batch of driver.run()) {
    await look(batch);
    if (++batches >= BATCHES && (hasSeenEnough() || performance.now() > endMs)) return false;
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
