/** Runs the driver contract, which needs no test runner, as tests of vitest. */
import { describe, test } from 'vitest';
import { type ContractOptions, driverContract } from '../../src/testing/index.ts';

export function describeDriverContract(name: string, options: ContractOptions): void {
  describe(`the driver contract: ${name}`, () => {
    for (const check of driverContract(options)) {
      test(check.name, async ({ skip }) => {
        const result = await check.run();
        if (result.skipped) skip(result.reason);
      });
    }
  });
}
