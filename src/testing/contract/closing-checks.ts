/** Checks of `Driver.close`. */
import assert from 'node:assert/strict';
import { PtmonError } from '../../core/error.ts';
import type { CheckGroup } from './contract-check.ts';

export const CLOSING_CHECKS: CheckGroup = {
  async 'may be called any number of times, at once or in turn'(open) {
    const { driver } = await open();
    await Promise.all([driver.close(), driver.close()]);
    await driver.close();
  },

  async 'ends a run, and nothing runs after it'(open) {
    const { driver } = await open();
    let batches = 0;
    for await (const _ of driver.run()) {
      batches++;
      await driver.close();
    }
    assert.equal(batches, 1);
    try {
      for await (const _ of driver.run()) batches++;
    } catch (error) {
      assert.ok(error instanceof PtmonError, `not a PtmonError: ${String(error)}`);
      assert.ok(['closed', 'source-unavailable'].includes(error.code), `code is ${error.code}`);
    }
    assert.equal(batches, 1, 'the closed driver yielded a batch');
  },
};
