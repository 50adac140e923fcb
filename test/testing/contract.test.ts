import { FRAME_TABLE } from '../../src/testing/guest/frames/frame-allocator.ts';
import {
  createMachineDriver,
  createSimDriver,
  Machine,
  RawProgram,
  type ContractSubject,
  type SimOptions,
} from '../../src/testing/index.ts';
import { registersFor } from '../../src/testing/machine/registers.ts';
import { describeDriverContract } from '../contract/describe-contract.ts';

const HOLE = 0xb0000;

function openGuest(options: SimOptions): ContractSubject {
  const driver = createSimDriver({ memoryFrames: 3072, ...options });
  return { driver, tables: () => [...driver.guest.kernel.frames.ofKind(FRAME_TABLE)], hole: HOLE };
}

const GUESTS: readonly SimOptions[] = [
  { mode: '4-level', vcpus: 4, isolation: true },
  { mode: '5-level', vcpus: 2, selfMap: true, views: 1, dmaEvery: 5 },
  { mode: 'pae', vcpus: 3, isolation: true, selfMap: true },
  { mode: '32-bit', vcpus: 1 },
  { mode: '4-level', vcpus: 2, remote: true, resetEvery: 40 },
];

for (const options of GUESTS) {
  describeDriverContract(`sim ${JSON.stringify(options)}`, {
    open: () => openGuest(options),
    deterministic: true,
    endless: true,
  });
}

/** Two tables, and four vCPUs that write single bytes to them. */
function openProgram(): ContractSubject {
  const machine = new Machine({ memoryFrames: 32, vcpus: 4 });
  for (const vcpu of machine.vcpus) vcpu.load(registersFor('4-level', 0x1000n));
  machine.writeEntry(0, 0x1000, 0x2063, 0);
  machine.writeEntry(0, 0x2008, 0x3063, 0);
  const program = new RawProgram(
    machine,
    Array.from({ length: 200 }, (_, n) => {
      const pa = [0x1000, 0x2000][n % 2]! + ((n * 8) % 4096);
      return { kind: 'write', vcpu: n % 4, pa: pa + (n % 3), bytes: Uint8Array.of(n + 1) };
    }),
  );
  return { driver: createMachineDriver({ machine, workload: program }), tables: () => [1, 2], hole: 0x20000 };
}

describeDriverContract('sim, a program without an operating system', {
  open: openProgram,
  deterministic: true,
  endless: false,
});
