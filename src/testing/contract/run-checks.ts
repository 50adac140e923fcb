/** Checks of `Driver.run`. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SourceEvent, TakeAtOnce } from '../../driver/index.ts';
import type { CheckGroup } from './contract-check.ts';
import { contentOf, fetchAll, paOf, wellFormed } from './driver-questions.ts';
import { protectTables, watch } from './watch.ts';

/** How long a check waits for a guest that should be stopped. */
const PATIENCE_MS = 20;

export const RUN_CHECKS: CheckGroup = {
  async 'yields well-formed events; each vCPU commits its writes before the source ends'(open) {
    const subject = await open();
    const { driver } = subject;
    const inFlight = new Set<number>();
    const count = driver.registers?.vcpuCount ?? Infinity;
    const ended = await watch(driver, (batch) => {
      for (const event of batch) {
        assert.ok(wellFormed(event, count), `malformed event: ${JSON.stringify(event)}`);
        if (event.kind === 'write') inFlight.add(event.vcpu);
        if (event.kind === 'commit') inFlight.delete(event.vcpu);
      }
      protectTables(subject);
    });
    if (ended) assert.deepEqual([...inFlight], [], 'these vCPUs have writes in flight at the end');
  },

  async 'the guest is stopped between batches, however long the consumer takes'(open) {
    const { driver, tables } = await open();
    let looked = 0;
    await watch(driver, async () => {
      if (looked >= 5) return;
      looked++;
      const used = tables().slice(0, 32);
      await fetchAll(driver, used.map(paOf));
      const before = used.map((gfn) => contentOf(driver.memory, gfn));
      const registers = driver.registers?.readRegisters(0);
      await sleep(PATIENCE_MS);
      assert.deepEqual(
        used.map((gfn) => contentOf(driver.memory, gfn)),
        before,
      );
      assert.deepEqual(driver.registers?.readRegisters(0), registers);
    });
    assert.equal(looked, 5, 'the source yielded fewer than five batches');
  },

  async 'a batch that is handed over at once is yielded all the same, or an empty one where it was taken'(open) {
    const { driver } = await open();
    let expected: readonly SourceEvent[] | undefined;
    let handed = 0;
    const take: TakeAtOnce = (batch) => {
      assert.equal(expected, undefined, 'the guest ran on before what was handed over had been yielded');
      handed++;
      if (handed % 3 === 0) return 'run-on';
      expected = handed % 3 === 1 ? batch : [];
      return handed % 3 === 1 ? 'later' : 'processed';
    };
    let batches = 0;
    for await (const batch of driver.run(undefined, take)) {
      if (expected !== undefined) assert.deepEqual(batch, expected);
      expected = undefined;
      if (++batches >= 100) break;
    }
    if (handed === 0) return 'the source hands nothing over';
  },

  async 'yields nothing when it is aborted before it begins'(open) {
    const { driver } = await open();
    const batches = [];
    for await (const batch of driver.run(AbortSignal.abort())) batches.push(batch);
    assert.deepEqual(batches, []);
  },

  async 'ends without an error when it is aborted'(open, { endless }) {
    if (!endless) return 'the source ends by itself';
    const { driver } = await open();
    const abort = new AbortController();
    let after = 0;
    for await (const _ of driver.run(abort.signal)) {
      if (abort.signal.aborted) after++;
      abort.abort();
    }
    assert.equal(after, 0, 'the driver yielded after the abort');
  },

  async 'the consumer can leave the loop and close the driver'(open) {
    const { driver } = await open();
    for await (const _ of driver.run()) break;
    await driver.close();
  },

  async 'timers fire while it runs, even when it yields nothing'(open, { endless }) {
    if (!endless) return 'the source ends by itself';
    const { driver } = await open();
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), PATIENCE_MS);
    for await (const _ of driver.run(abort.signal));
    clearTimeout(timer);
    assert.ok(abort.signal.aborted);
  },

  async 'yields the same events each time'(open, { deterministic }) {
    if (!deterministic) return 'the source is not deterministic';
    const record = async (): Promise<string> => {
      const subject = await open();
      const lines: string[] = [];
      await watch(subject.driver, (batch) => {
        lines.push(JSON.stringify(batch));
        protectTables(subject);
      });
      return lines.join('\n');
    };
    const first = await record();
    assert.match(first, /"kind"/);
    assert.equal(await record(), first);
  },
};
