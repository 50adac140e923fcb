/** Where the kernel keeps what is told of a process. */
import type { Btf } from '../btf/btf.ts';
import { offsetOf, offsetsOf } from '../btf/offsets.ts';
import { PtmonError } from '../../core/error.ts';

export type TaskLayout = ReturnType<typeof taskLayout>;

/** @throws PtmonError `corrupt-input` where the BTF lacks something that every kernel has */
export function taskLayout(btf: Btf) {
  const task = offsetsOf(
    btf,
    'task_struct',
    ['tasks', 'pid', 'tgid', 'comm', 'flags', 'exit_state', 'mm', 'real_parent', 'real_cred', 'signal', 'group_leader'],
    ['__state', 'state', 'thread_node', 'thread_group', 'start_boottime', 'real_start_time'],
  );
  // Renamed in 5.14 by 2f064a59a11f, and from then on 4 bytes instead of 8.
  const state = task.__state ?? task.state;
  if (state === undefined) {
    throw new PtmonError('corrupt-input', "the kernel's type information (BTF) has no task_struct.__state");
  }
  return {
    ...task,
    state,
    // Renamed in 5.5 by cf25e24db61c.
    startTime: task.start_boottime ?? task.real_start_time,
    // `thread_group` is gone since 6.7 (8e1f385104ac); the list in `signal` is there since 3.14 (0c740d0afc3b).
    threadHead: offsetOf(btf, 'signal_struct', 'thread_head'),
    cred: offsetsOf(btf, 'cred', ['uid', 'euid']),
    mmStruct: offsetsOf(btf, 'mm_struct', ['pgd', 'mm_users']),
  } as const;
}
