/** The driver contract finds a driver that breaks it: each fault fails the check that is about it. */
import { expect, test } from 'vitest';
import type { Driver, SourceEvent } from '../../src/driver/index.ts';
import { type ContractSubject, createSimDriver, driverContract, type SimDriver } from '../../src/testing/index.ts';
import { FRAME_TABLE } from '../../src/testing/guest/frames/frame-allocator.ts';

/** A driver with some members replaced, as a faulty driver has them. */
function broken(driver: SimDriver, fault: Partial<Driver>): Driver {
  const { memory, protection, registers } = driver;
  const run = (signal?: AbortSignal): AsyncIterable<readonly SourceEvent[]> => driver.run(signal);
  return { name: 'broken', memory, protection, registers, run, close: () => driver.close(), ...fault };
}

async function* filtered(driver: SimDriver, keep: (event: SourceEvent) => boolean) {
  for await (const batch of driver.run()) yield batch.filter(keep);
}

const FAULTS: Readonly<Record<string, { fault: (driver: SimDriver) => Partial<Driver>; found: string }>> = {
  'a hole that reads as zeroes': {
    fault: ({ memory }) => ({
      memory: { readEntry: (pa, width, out) => memory.readEntry(pa, width, out.fill(0)) && 0 },
    }),
    found: 'memory: an address that is not RAM is "no memory", and leaves the buffer alone',
  },
  'a view that need not exist': {
    fault: ({ protection }) => ({ protection: { ...protection, getAccess: () => 7, setAccess: () => undefined } }),
    found: 'protection: a view that does not exist is "no-such-view", for both calls',
  },
  'a write that is not reported': {
    fault: (driver) => ({ run: () => filtered(driver, (event) => event.kind !== 'write') }),
    found: 'protection: reports every write to a protected frame before it is in memory; with its commit it is there',
  },
  'registers of a vCPU that does not exist': {
    fault: ({ registers }) => ({ registers: { vcpuCount: 1, readRegisters: () => registers.readRegisters(0) } }),
    found: 'registers: a vCPU that does not exist is a bad argument',
  },
  'a negative lost count': {
    fault: () => ({
      async *run() {
        yield [{ kind: 'missed', reason: 'x', lost: -1 }];
      },
    }),
    found: 'run: yields well-formed events; each vCPU commits its writes before the source ends',
  },
  'a run that ignores its signal': {
    fault: (driver) => ({ run: () => driver.run() }),
    found: 'run: yields nothing when it is aborted before it begins',
  },
  'a second close that throws': {
    fault: (driver) => {
      let closed = false;
      const close = async (): Promise<void> => {
        if (closed) throw new Error('closed already');
        closed = true;
        await driver.close();
      };
      return { close };
    },
    found: 'closing: may be called any number of times, at once or in turn',
  },
};

test.each(Object.entries(FAULTS))('%s', async (_name, { fault, found }) => {
  const open = (): ContractSubject => {
    const driver = createSimDriver({ memoryFrames: 3072, steps: 400 });
    return {
      driver: broken(driver, fault(driver)),
      tables: () => [...driver.guest.kernel.frames.ofKind(FRAME_TABLE)],
      hole: 0xb0000,
    };
  };
  const check = driverContract({ open, deterministic: true, endless: false }).find(({ name }) => name === found);
  await expect(check!.run()).rejects.toThrow();
});

test('a guest that is idle at first is no fault: its batches are empty', async () => {
  const open = (): ContractSubject => {
    const driver = createSimDriver({ memoryFrames: 3072 });
    async function* run() {
      for (let batch = 0; batch < 500; batch++) yield [];
      yield* driver.run();
    }
    return {
      driver: broken(driver, { run }),
      tables: () => [...driver.guest.kernel.frames.ofKind(FRAME_TABLE)],
      hole: 0xb0000,
    };
  };
  const { found } = FAULTS['a write that is not reported']!;
  const check = driverContract({ open, deterministic: false, endless: true }).find(({ name }) => name === found);
  expect(await check!.run()).toMatchObject({ skipped: false });
});

test('a check of a missing capability is skipped, with the reason', async () => {
  const open = (): ContractSubject => {
    const { memory } = createSimDriver({ memoryFrames: 3072 });
    async function* run() {}
    return { driver: { name: 'memory', memory, run, close: async () => {} }, tables: () => [1], hole: 0xb0000 };
  };
  const checks = driverContract({ open, deterministic: true, endless: false });
  const check = checks.find(({ name }) => name.startsWith('protection: reads back'))!;
  expect(await check.run()).toEqual({ skipped: true, reason: 'no protection' });
});
