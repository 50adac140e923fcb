import { describe, expect, test } from 'vitest';
import { READ_OK } from '../../src/core/memory/physical-memory.ts';
import { createSimDriver, FaultInjector, type FaultPoint, Machine } from '../../src/testing/index.ts';

interface Harness {
  readonly faults: FaultInjector;
  readonly machine: Machine;
  /** Makes one call; answers whether it succeeded. */
  readonly call: Record<FaultPoint, () => boolean>;
}

function harness(): Harness {
  const faults = new FaultInjector();
  const machine = new Machine({ memoryFrames: 16 });
  const memory = faults.memory(machine.memory);
  const protection = faults.protection(machine.views);
  const codes = { read: 'read-failed', getAccess: 'protect-failed', setAccess: 'protect-failed' };
  const calls = {
    read: () => memory.readEntry(0x1000, 8, new Uint32Array(2)) === READ_OK,
    getAccess: () => protection.getAccess(0, 1) === 7,
    setAccess: () => protection.setAccess(0, 2, 5) === undefined,
  };
  const succeeds = (point: FaultPoint) => () => {
    try {
      return calls[point]();
    } catch (error) {
      expect(error).toMatchObject({ name: 'PtmonError', code: codes[point] });
      return false;
    }
  };
  return {
    faults,
    machine,
    call: { read: succeeds('read'), getAccess: succeeds('getAccess'), setAccess: succeeds('setAccess') },
  };
}

describe.each(['read', 'getAccess', 'setAccess'] as const)('faults in %s', (point) => {
  test.each([
    [1, 1, 'x.....'],
    [3, 1, '..x...'],
    [2, 3, '.xxx..'],
    [2, Infinity, '.xxxxx'],
  ])('call %d from now, %d times', (nth, times, expected) => {
    const { faults, call } = harness();
    expect(call[point]()).toBe(true);
    faults.fail(point, nth, times);
    expect(Array.from({ length: 6 }, () => (call[point]() ? '.' : 'x')).join('')).toBe(expected);
    expect(faults.calls[point]).toBe(7);
    expect(faults.failures[point]).toBe(expected.replaceAll('.', '').length);
    faults.heal();
    expect(call[point]()).toBe(true);
  });

  test('do not touch the other calls', () => {
    const { faults, call } = harness();
    faults.fail(point, 1, Infinity);
    for (const other of ['read', 'getAccess', 'setAccess'] as const) expect(call[other](), other).toBe(other !== point);
  });

  test.each([
    [0, 1],
    [1.5, 1],
    [1, 0],
    [1, NaN],
  ])('a plan for call %d, %d times, is refused', (nth, times) => {
    expect(() => new FaultInjector().fail(point, nth, times)).toThrow(
      expect.objectContaining({ code: 'bad-argument' }),
    );
  });
});

test('a failed call has done nothing', () => {
  const { faults, machine } = harness();
  const out = Uint32Array.of(7, 8);
  faults.fail('read', 1);
  faults.fail('setAccess', 1);
  expect(() => faults.memory(machine.memory).readEntry(0, 8, out)).toThrow();
  expect(() => faults.protection(machine.views).setAccess(0, 2, 0)).toThrow();
  expect([...out]).toEqual([7, 8]);
  expect(machine.views.getAccess(0, 2)).toBe(7);
});

test('a source’s own error passes through', () => {
  const { faults, machine } = harness();
  expect(() => faults.protection(machine.views).getAccess(9, 1)).toThrow(
    expect.objectContaining({ code: 'no-such-view' }),
  );
});

test('the sim driver takes them, and its guest does not notice', async () => {
  const faults = new FaultInjector();
  const driver = createSimDriver({ steps: 50, memoryFrames: 2048, faults });
  faults.fail('read', 1, Infinity);
  faults.fail('setAccess', 1, Infinity);
  expect(() => driver.memory.readEntry(0x1000, 8, new Uint32Array(2))).toThrow(
    expect.objectContaining({ code: 'read-failed' }),
  );
  expect(() => driver.protection.setAccess(0, 1, 5)).toThrow(expect.objectContaining({ code: 'protect-failed' }));
  for await (const _ of driver.run());
  expect(driver.guest.processes.length).toBeGreaterThan(0);
});
