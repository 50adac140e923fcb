/** Checks of `Driver.memory` and `Driver.remote`. */
import assert from 'node:assert/strict';
import { hex } from '../../core/address/va.ts';
import { READ_NO_MEMORY, READ_NOT_FETCHED, READ_OK } from '../../core/memory/physical-memory.ts';
import type { CheckGroup } from './contract-check.ts';
import { fetchAll, paOf } from './driver-questions.ts';

const SLOTS = Array.from({ length: 512 }, (_, slot) => slot);

export const MEMORY_CHECKS: CheckGroup = {
  async 'reads whole entries of 8 and 4 bytes, which agree with each other'(open) {
    const { driver, tables } = await open();
    const used = tables().slice(0, 16);
    assert.ok(used.length > 0, 'tables() names no table');
    await fetchAll(driver, used.map(paOf));
    const wide = new Uint32Array(2);
    const narrow = new Uint32Array(2);
    let present = 0;
    for (const pa of used.flatMap((gfn) => SLOTS.map((slot) => paOf(gfn) + slot * 8))) {
      assert.equal(driver.memory.readEntry(pa, 8, wide), READ_OK, `table entry ${hex(pa)} cannot be read`);
      const halves = [pa, pa + 4].map((at) => {
        narrow.fill(0xffffffff);
        driver.memory.readEntry(at, 4, narrow);
        return [...narrow];
      });
      assert.deepEqual(halves, [
        [wide[0], 0],
        [wide[1], 0],
      ]);
      present += wide[0]! & 1;
    }
    assert.ok(present > 0, 'no entry of these tables is present');
  },

  async 'an address that is not RAM is "no memory", and leaves the buffer alone'(open) {
    const { driver, hole } = await open();
    await fetchAll(driver, [hole]);
    const out = Uint32Array.of(0x1234, 0x5678);
    assert.equal(driver.memory.readEntry(hole, 8, out), READ_NO_MEMORY);
    assert.equal(driver.memory.readEntry(hole, 4, out), READ_NO_MEMORY);
    assert.deepEqual([...out], [0x1234, 0x5678]);
  },

  async 'remote: every read before a fetch is "not fetched", and none after it'(open) {
    const { driver, tables, hole } = await open();
    const { memory, remote } = driver;
    if (remote === undefined) return 'memory is local';
    const wanted = [...tables().slice(0, 3).map(paOf), hole];
    const out = Uint32Array.of(1, 2);
    assert.equal(memory.readEntry(wanted[0]!, 8, out), READ_NOT_FETCHED);
    assert.deepEqual([...out], [1, 2]);
    await remote.fetch(wanted);
    for (const pa of wanted) assert.notEqual(memory.readEntry(pa + 8, 8, out), READ_NOT_FETCHED);
    await assert.rejects(remote.fetch(wanted, AbortSignal.abort()));
  },

  async 'local: no read is ever "not fetched"'(open) {
    const { driver, tables, hole } = await open();
    if (driver.remote !== undefined) return 'memory is remote';
    const out = new Uint32Array(2);
    for (const pa of [...tables().map(paOf), hole])
      assert.notEqual(driver.memory.readEntry(pa, 8, out), READ_NOT_FETCHED);
  },
};
