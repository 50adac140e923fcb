/** Checks of `Driver.control`. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CheckGroup } from './contract-check.ts';

/** How long a check waits for a guest that should be paused. */
const PATIENCE_MS = 20;

export const CONTROL_CHECKS: CheckGroup = {
  async 'a paused guest does nothing; a resumed one goes on'(open) {
    const { driver } = await open();
    if (driver.control === undefined) return 'no control';
    const running = driver.run()[Symbol.asyncIterator]();
    await running.next();
    await driver.control.pause();
    let moved = false;
    const next = running.next().then(() => {
      moved = true;
    });
    await sleep(PATIENCE_MS);
    assert.equal(moved, false, 'the paused driver yielded a batch');
    await driver.control.resume();
    await next;
    await running.return?.();
  },

  async 'pausing twice is pausing, resuming twice is resuming'(open) {
    const { driver } = await open();
    if (driver.control === undefined) return 'no control';
    await driver.control.pause();
    await driver.control.pause();
    await driver.control.resume();
    await driver.control.resume();
    for await (const _ of driver.run()) break;
  },

  async 'an abort ends the run of a paused guest, and so does closing it'(open) {
    for (const end of ['abort', 'close']) {
      const { driver } = await open();
      if (driver.control === undefined) return 'no control';
      const abort = new AbortController();
      const running = driver.run(abort.signal)[Symbol.asyncIterator]();
      await running.next();
      await driver.control.pause();
      const next = running.next();
      if (end === 'abort') abort.abort();
      else await driver.close();
      assert.equal((await next).done, true, `the run goes on after ${end}`);
    }
    return undefined;
  },
};
