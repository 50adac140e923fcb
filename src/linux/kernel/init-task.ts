/**
 * The first task, `init_task`: a variable in the kernel's data, known by what it holds (init/init_task.c). It is the idle task of the
 * first processor, its own parent, and the head of the list of all processes.
 */
import type { Btf } from '../btf/btf.ts';
import { offsetsOf } from '../btf/offsets.ts';
import { attempt } from '../memory/guest-fault.ts';
import type { KernelMemory } from '../memory/kernel-memory.ts';
import type { Chunk } from './chunk.ts';

/** `swapper`, then from the moment that the processors are started on `swapper/0` (init_idle, kernel/sched/core.c). */
const NAMES: ReadonlySet<string> = new Set(['swapper', 'swapper/0']);
/** `swap` and `per`, as words. */
const SWAP = 0x70617773;
const PER = 0x726570;

/** Addresses in a chunk where the name may be. */
export function idleNames({ va, words }: Chunk): bigint[] {
  const found: bigint[] = [];
  for (let at = words.indexOf(SWAP); at >= 0; at = words.indexOf(SWAP, at + 1)) {
    if ((words[at + 1]! & 0xffffff) === PER) found.push(va + BigInt(at * 4));
  }
  return found;
}

/** Where the name of the task at `task` is. @throws PtmonError `corrupt-input` where the BTF does not know tasks */
export function nameOfTask(btf: Btf, task: bigint): bigint {
  return task + BigInt(offsetsOf(btf, 'task_struct', ['comm']).comm);
}

/** The task whose `comm` is at `name`; undefined where it is not the first task. @throws PtmonError `not-fetched`, `corrupt-input` */
export function initTaskAt(memory: KernelMemory, btf: Btf, name: bigint): bigint | undefined {
  const task = offsetsOf(btf, 'task_struct', ['comm', 'pid', 'tgid', 'tasks', 'real_parent', 'group_leader', 'mm']);
  const at = name - BigInt(task.comm);
  return attempt(() => {
    const pointer = (offset: number) => memory.pointer(at + BigInt(offset));
    const list = at + BigInt(task.tasks);
    const next = pointer(task.tasks);
    const isFirst =
      NAMES.has(memory.text(name, 16)) &&
      memory.u32(at + BigInt(task.pid)) === 0 &&
      memory.u32(at + BigInt(task.tgid)) === 0 &&
      pointer(task.real_parent) === at &&
      pointer(task.group_leader) === at &&
      pointer(task.mm) === 0n &&
      next >= memory.kernelStart &&
      // The other end of the list changes at each fork, perhaps while it is read.
      memory.pointer(next + BigInt(memory.wordBytes)) === list;
    return isFirst ? at : undefined;
  });
}
