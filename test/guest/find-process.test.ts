/** `guest.process(…)`: which process a PID or a name means. */
import { expect, test } from 'vitest';
import { findProcess } from '../../src/guest/find-process.ts';
import type { Process } from '../../src/linux/index.ts';

function process(pid: number, command: string, roots: readonly number[] = [pid * 4096]): Process {
  const isKernelThread = command.startsWith('k');
  return { pid, command, roots, isKernelThread, mm: roots.length === 0 ? null : BigInt(pid) } as unknown as Process;
}

const PROCESSES = [
  process(2, 'kthreadd', []),
  process(81, 'nginx'),
  process(82, 'nginx'),
  process(83, 'nginx', []),
  process(90, 'redis'),
  process(91, 'redis', []),
  process(92, '81'),
  process(93, 'gone', []),
  process(94, 'fifteen-bytes-a'),
];

test.each([
  [82, 82],
  ['82', 82],
  // A name goes before a PID.
  ['81', 92],
  // One that has exited is not the one that is meant.
  ['redis', 90],
  // The kernel keeps 15 bytes of a name.
  ['fifteen-bytes-and-more', 94],
])('%j is process %i', (which, pid) => {
  expect(findProcess(PROCESSES, which).pid).toBe(pid);
});

test.each<[which: unknown, message: string]>([
  ['nginx', 'process "nginx": several have this name; give a PID: 81, 82'],
  ['gone', 'gone[93] has exited: its memory is gone'],
  ['kthreadd', 'kthreadd[2] is a kernel thread: it has no memory of its own'],
  [7, 'the guest has no process 7; it has nginx[81], nginx[82]'],
  ['7', 'the guest has no process 7; it has nginx[81]'],
  ['apache', 'the guest has no process named "apache"; it has nginx[81]'],
  [undefined, 'process undefined: give a PID, as a number, or a name'],
  ['', 'process "": give a PID'],
  [-1, 'process -1: give a PID'],
  [Number.NaN, 'process NaN: give a PID'],
  [{}, 'process [object Object]: give a PID'],
])('%j is refused', (which, message) => {
  expect(() => findProcess(PROCESSES, which as string)).toThrow(message);
});
