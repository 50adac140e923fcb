import { describe, expect, test } from 'vitest';
import { READ_NO_MEMORY, READ_NOT_FETCHED, READ_OK } from '../../src/core/memory/physical-memory.ts';
import { createSimDriver } from '../../src/testing/index.ts';

const HOLE = 0xa0000;

function open(remote: boolean) {
  const driver = createSimDriver({ remote, steps: 20, memoryFrames: 2048 });
  const root = driver.guest.kernelProcess.roots[0]!;
  const entry = new Uint32Array(2);
  return { driver, root, entry, read: (pa: number) => driver.memory.readEntry(pa, 8, entry) };
}

describe('remote memory', () => {
  test('is not here until it is fetched, frame by frame, holes included', async () => {
    const { driver, root, read, entry } = open(true);
    expect([read(root + 2048), read(HOLE)]).toEqual([READ_NOT_FETCHED, READ_NOT_FETCHED]);
    await driver.remote!.fetch([root + 8, HOLE, root]);
    expect([read(root + 2184), read(HOLE)]).toEqual([READ_OK, READ_NO_MEMORY]);
    const page = driver.machine.page(root / 4096)!;
    expect([...entry]).toEqual([page[546], page[547]]);
    expect(entry[0]).not.toBe(0);
    expect(read(root + 4096)).toBe(READ_NOT_FETCHED);
  });

  test('is forgotten when the guest runs on', async () => {
    const { driver, root, read } = open(true);
    await driver.remote!.fetch([root]);
    const running = driver.run()[Symbol.asyncIterator]();
    expect(read(root)).toBe(READ_OK);
    await running.next();
    expect(read(root)).toBe(READ_NOT_FETCHED);
    await running.return();
  });

  test('an aborted fetch fetches nothing', async () => {
    const { driver, root, read } = open(true);
    await expect(driver.remote!.fetch([root], AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
    expect(read(root)).toBe(READ_NOT_FETCHED);
  });

  test('local memory needs none of it', () => {
    const { driver, root, read } = open(false);
    expect(driver.remote).toBeUndefined();
    expect([read(root), read(HOLE)]).toEqual([READ_OK, READ_NO_MEMORY]);
  });
});
