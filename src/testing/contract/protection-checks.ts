/** Checks of `Driver.protection`: second-level permissions that make a vCPU trap before it writes. */
import assert from 'node:assert/strict';
import { ACCESS_WRITE } from '../../core/memory/page-access.ts';
import type { SourceEvent } from '../../driver/index.ts';
import type { CheckGroup } from './contract-check.ts';
import { framesOf } from './driver-questions.ts';
import { FrameWitness } from './frame-witness.ts';
import { watch } from './watch.ts';

/** More frames than this slow the check down and find nothing more. */
const MOST_FRAMES = 24;

export const PROTECTION_CHECKS: CheckGroup = {
  async 'reads back what was set, which may be set again'(open) {
    const { driver, tables } = await open();
    const { protection } = driver;
    if (protection === undefined) return 'no protection';
    const [gfn, other] = tables() as [number, number];
    const before = protection.getAccess(0, gfn);
    const beside = protection.getAccess(0, other);
    for (const access of [before & ~ACCESS_WRITE, before & ~ACCESS_WRITE, before]) {
      protection.setAccess(0, gfn, access);
      assert.equal(protection.getAccess(0, gfn), access);
      assert.equal(protection.getAccess(0, other), beside);
    }
  },

  async 'a view that does not exist is "no-such-view", for both calls'(open) {
    const { driver, tables } = await open();
    const { protection } = driver;
    if (protection === undefined) return 'no protection';
    const noSuchView = { code: 'no-such-view' };
    assert.throws(() => protection.getAccess(987_654, tables()[0]!), noSuchView);
    assert.throws(() => protection.setAccess(987_654, tables()[0]!, 7), noSuchView);
  },

  async 'reports every write to a protected frame before it is in memory; with its commit it is there'(open) {
    const { driver, tables } = await open();
    const { protection } = driver;
    if (protection === undefined) return 'no protection';
    const witness = new FrameWitness(driver);
    let writes = 0;
    const look = async (batch: readonly SourceEvent[]) => {
      await witness.check(batch);
      for (const event of batch) {
        if (event.kind !== 'write') continue;
        writes++;
        const touched = framesOf(event.pa, event.byteLength);
        const trapping = touched.some((gfn) => (protection.getAccess(event.view, gfn) & ACCESS_WRITE) === 0);
        assert.ok(trapping, `the reported write ${JSON.stringify(event)} touches no protected frame`);
      }
      for (const gfn of tables()) {
        if (witness.has(gfn) || witness.size >= MOST_FRAMES) continue;
        protection.setAccess(0, gfn, protection.getAccess(0, gfn) & ~ACCESS_WRITE);
        await witness.add(gfn);
      }
    };
    await watch(driver, look, () => writes > 0 && witness.changes > 0);
    assert.ok(writes > 0, 'no write to a protected frame was reported');
    assert.ok(witness.changes > 0, 'no reported write has changed a protected frame');
  },
};
