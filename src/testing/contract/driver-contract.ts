/**
 * The driver contract as a list of checks. They need no test runner: each one is an asynchronous function that rejects where
 * the driver breaks the contract. A check of a capability that the driver does not have is skipped, with the reason.
 */
import type { Driver } from '../../driver/index.ts';
import { CLOSING_CHECKS } from './closing-checks.ts';
import type { Check, ContractCheck, ContractOptions, ContractResult, ContractSubject } from './contract-check.ts';
import { MEMORY_CHECKS } from './memory-checks.ts';
import { PROTECTION_CHECKS } from './protection-checks.ts';
import { REGISTER_CHECKS } from './register-checks.ts';
import { RUN_CHECKS } from './run-checks.ts';

const GROUPS = {
  memory: MEMORY_CHECKS,
  protection: PROTECTION_CHECKS,
  registers: REGISTER_CHECKS,
  run: RUN_CHECKS,
  closing: CLOSING_CHECKS,
};

/** All checks of the driver contract, for one driver. Run them in any order, one at a time. */
export function driverContract(options: ContractOptions): readonly ContractCheck[] {
  return Object.entries(GROUPS).flatMap(([group, checks]) =>
    Object.entries(checks).map(([name, check]) => ({
      name: `${group}: ${name}`,
      run: () => runCheck(check, options),
    })),
  );
}

/** Closes whatever the check has opened, also where it fails. */
async function runCheck(check: Check, options: ContractOptions): Promise<ContractResult> {
  const opened: ContractSubject[] = [];
  try {
    const reason = await check(async () => {
      const subject = await options.open();
      opened.push(subject);
      return subject;
    }, options);
    return typeof reason === 'string' ? { skipped: true, reason } : { skipped: false };
  } finally {
    for (const { driver } of opened) await closeQuietly(driver);
    for (const subject of opened) await subject.dispose?.();
  }
}

/** A `close` that throws breaks the contract; the checks of `closing` report it. */
async function closeQuietly(driver: Driver): Promise<void> {
  try {
    await driver.close();
  } catch {
    // The result of the check itself matters more.
  }
}
