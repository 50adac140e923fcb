/** `--pid` and `--comm` mean the same process for every command. */
import { expect, test } from 'vitest';
import { chooseProcess } from '../../../src/cli/snapshot/choose-process.ts';
import type { Process } from '../../../src/linux/index.ts';

function process(pid: number, command: string, roots: readonly number[] = [pid * 4096]): Process {
  return {
    pid,
    parentPid: 1,
    command,
    uid: 0,
    threads: 1,
    state: 'sleeping',
    isKernelThread: roots.length === 0,
    roots,
    task: BigInt(pid),
    mm: roots.length === 0 ? null : BigInt(pid),
  } as unknown as Process;
}

const PROCESSES = [
  process(2, 'kthreadd', []),
  process(81, 'nginx'),
  process(82, 'nginx'),
  process(90, 'redis'),
  process(91, 'fifteen-bytes-a'),
];

test('--pid chooses by the PID, --comm by a name that only one process has', () => {
  const list = { processes: PROCESSES, faults: [] };
  expect(chooseProcess(list, { pid: 82 })).toBe(PROCESSES[2]);
  expect(chooseProcess(list, { comm: 'redis' })).toBe(PROCESSES[3]);
  // The kernel keeps 15 bytes of a name.
  expect(chooseProcess(list, { comm: 'fifteen-bytes-and-more' })).toBe(PROCESSES[4]);
});

test('a name that several processes have is refused, with their PIDs', () => {
  expect(() => chooseProcess({ processes: PROCESSES, faults: [] }, { comm: 'nginx' })).toThrow(
    'several processes have this name; give --pid: 81, 82',
  );
});

test.each([
  [{ pid: 83 }, /^the guest has no process 83; ptmon ps lists them/],
  [{ pid: 2 }, /--pid 2 is a kernel thread, without memory of its own/],
  [{ comm: 'kthreadd' }, /--comm kthreadd: the guest has no process of this name with its own memory/],
])('%j is refused', (choice, message) => {
  expect(() => chooseProcess({ processes: PROCESSES, faults: [] }, choice)).toThrow(message);
});

test('a process that is not found may be one that could not be read', () => {
  const faults = ['the list of processes breaks off after 3 entries: 0xffff is not mapped'];
  const list = { processes: PROCESSES, faults };
  expect(() => chooseProcess(list, { pid: 4000 })).toThrow(
    `as far as its list of processes can be read (${faults[0]})`,
  );
  expect(() => chooseProcess(list, { comm: 'sshd' })).toThrow(
    `as far as its list of processes can be read (${faults[0]})`,
  );
});
