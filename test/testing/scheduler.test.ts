import { describe, expect, test } from 'vitest';
import type { SourceEvent } from '../../src/driver/index.ts';
import { createMachineDriver, Machine, type Operation, RawProgram } from '../../src/testing/index.ts';

const VCPUS = 4;

/** Writes of one byte, by vCPUs in turn, each to a place of its own: byte n of frame 1 becomes n + 1. */
function writes(count: number): Operation[] {
  return Array.from({ length: count }, (_, n) => ({
    kind: 'write',
    vcpu: n % VCPUS,
    pa: 0x1000 + n,
    bytes: Uint8Array.of((n + 1) % 251),
  }));
}

async function run(machine: Machine, operations: readonly Operation[], seed = 1): Promise<(readonly SourceEvent[])[]> {
  const driver = createMachineDriver({ machine, workload: new RawProgram(machine, operations), seed });
  const batches: (readonly SourceEvent[])[] = [];
  for await (const batch of driver.run()) batches.push(batch);
  return batches;
}

function protectedMachine(): Machine {
  const machine = new Machine({ vcpus: VCPUS, memoryFrames: 16 });
  machine.views.setAccess(0, 1, 5);
  return machine;
}

describe('trap, single step, commit', () => {
  test('each vCPU alternates between them; the byte lands with the commit and not before', async () => {
    const machine = protectedMachine();
    const operations = writes(200);
    const driver = createMachineDriver({ machine, workload: new RawProgram(machine, operations) });
    const inFlight = new Map<number, number>();
    let most = 0;
    for await (const batch of driver.run()) {
      for (const event of batch) {
        const page = new Uint8Array(machine.page(1)!.buffer);
        if (event.kind === 'write') {
          expect(inFlight.has(event.vcpu)).toBe(false);
          inFlight.set(event.vcpu, event.pa % 4096);
          expect(page[event.pa % 4096]).toBe(0);
        } else if (event.kind === 'commit') {
          const at = inFlight.get(event.vcpu)!;
          expect(page[at]).toBe((at + 1) % 251);
          inFlight.delete(event.vcpu);
        }
      }
      most = Math.max(most, inFlight.size);
    }
    expect(inFlight.size).toBe(0);
    expect(most).toBe(VCPUS);
  });

  test('between a trap and its commit others run, at most a few slots long', async () => {
    const batches = await run(protectedMachine(), writes(400));
    const waits = new Map<number, number>();
    const begun = new Map<number, number>();
    for (const [at, event] of batches.flat().entries()) {
      if (event.kind === 'write') begun.set(event.vcpu, at);
      else if (event.kind === 'commit') {
        const wait = at - begun.get(event.vcpu)! - 1;
        waits.set(wait, (waits.get(wait) ?? 0) + 1);
      }
    }
    expect(Math.max(...waits.keys())).toBeGreaterThan(3);
    // One slot more for each vCPU that was overdue as well.
    expect(Math.max(...waits.keys())).toBeLessThanOrEqual(8 + VCPUS);
    expect(waits.get(0)).toBeGreaterThan(20);
  });

  test('a batch is one slot: one trap or one commit, so that whoever listens can act in between', async () => {
    for (const batch of await run(protectedMachine(), writes(100))) expect(batch.length).toBeLessThanOrEqual(1);
  });

  test('the same seed gives the same order, another seed another', async () => {
    const [first, again, other] = await Promise.all([
      run(protectedMachine(), writes(100), 5),
      run(protectedMachine(), writes(100), 5),
      run(protectedMachine(), writes(100), 6),
    ]);
    expect(JSON.stringify(again)).toBe(JSON.stringify(first));
    expect(JSON.stringify(other)).not.toBe(JSON.stringify(first));
  });
});

describe('a program of raw operations', () => {
  test('what does not trap is done without a word, in the order of each vCPU', async () => {
    const machine = new Machine({ vcpus: 2, memoryFrames: 16 });
    const at = (vcpu: number, value: number): Operation => ({
      kind: 'write',
      vcpu,
      pa: 0x1000 + vcpu,
      bytes: Uint8Array.of(value),
    });
    const batches = await run(machine, [at(0, 1), at(1, 5), at(0, 2), at(0, 3)]);
    expect(batches.flat()).toEqual([]);
    expect([...new Uint8Array(machine.page(1)!.buffer).subarray(0, 2)]).toEqual([3, 5]);
  });

  test('a device writes when everything before it has begun; a reset ends what others are doing', async () => {
    const machine = protectedMachine();
    const one = Uint8Array.of(1);
    const batches = await run(machine, [
      { kind: 'write', vcpu: 0, pa: 0x1000, bytes: one },
      { kind: 'dma', pa: 0x1001, bytes: one },
      { kind: 'write', vcpu: 1, pa: 0x1002, bytes: one },
      { kind: 'reset' },
      { kind: 'write', vcpu: 2, pa: 0x1003, bytes: one },
    ]);
    const kinds = batches.flat().map((event) => (event.kind === 'missed' ? event.reason : event.kind));
    expect(kinds.filter((kind) => kind === 'write')).toHaveLength(3);
    expect(kinds.filter((kind) => kind === 'commit')).toHaveLength(3);
    expect(kinds.indexOf('dma')).toBeGreaterThan(kinds.indexOf('write'));
    expect(kinds.indexOf('reset')).toBeGreaterThan(kinds.indexOf('dma'));
    expect(kinds.slice(kinds.indexOf('reset') + 1)).toEqual(['write', 'commit']);
    expect([...new Uint8Array(machine.page(1)!.buffer).subarray(0, 4)]).toEqual([0, 0, 0, 1]);
  });

  test('a vCPU that does not exist is refused at once', () => {
    const machine = protectedMachine();
    const operation: Operation = { kind: 'write', vcpu: VCPUS, pa: 0, bytes: Uint8Array.of(1) };
    expect(() => new RawProgram(machine, [operation])).toThrow(expect.objectContaining({ code: 'bad-argument' }));
  });
});

test('closing the driver lifts every protection, and leaves the rest as it is', async () => {
  const machine = protectedMachine();
  const view = machine.views.create();
  machine.views.setAccess(view, 3, 0);
  const driver = createMachineDriver({ machine, workload: new RawProgram(machine, writes(8)) });
  for await (const batch of driver.run()) if (batch.length > 0) break;
  await driver.close();
  expect([machine.views.getAccess(0, 1), machine.views.getAccess(view, 3)]).toEqual([7, 7]);
  expect(machine.vcpus.some((vcpu) => vcpu.inFlight !== undefined)).toBe(true);
});
