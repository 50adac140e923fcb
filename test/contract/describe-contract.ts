/** Runs the driver contract, which needs no test runner, as tests of vitest. */
import { describe, test } from 'vitest';
import { type ContractOptions, driverContract } from '../../src/testing/index.ts';

export function describeDriverContract(name: string, options: ContractOptions): void {
  describe(`the driver contract: ${name}`, () => {
    test.for(driverContract(options))('$name', async ({ run }, { skip }) => {
      const result = await run();
      if (result.skipped) skip(result.reason);
    });
  });
}
