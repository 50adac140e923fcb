/**
 * What a task does, as the letter of /proc/PID/stat (fs/proc/array.c, `task_state_array`; include/linux/sched.h). The bits are those
 * since Linux 4.14 (8ef9925b02c2, 06eb61844d84); no kernel before 5.2 has BTF.
 */

/** The letters of the bits that are reported, the lowest first: TASK_RUNNING is none of them. */
const LETTERS = 'RSDTtXZP';
/** TASK_REPORT: those bits. */
const REPORTED = 0x7f;
const UNINTERRUPTIBLE = 0x02;
const NO_LOAD = 0x400;
/** TASK_IDLE: it waits, and is not counted as load. */
const IDLE = UNINTERRUPTIBLE | NO_LOAD;
/** Of PREEMPT_RT, since 5.15 (5f220be21418): waits for a lock. */
const RT_LOCK_WAIT = 0x1000;
/** Since 6.1 (f5d39b020809): shown as what it waits in. */
const FROZEN = 0x8000;

export type TaskState = 'R' | 'S' | 'D' | 'T' | 't' | 'X' | 'Z' | 'P' | 'I';

/** @param state task_struct.__state @param exitState task_struct.exit_state */
export function taskState(state: number, exitState: number): TaskState {
  if ((state & IDLE) === IDLE) return 'I';
  if ((state & (RT_LOCK_WAIT | FROZEN)) !== 0) return 'D';
  const reported = (state | exitState) & REPORTED;
  return LETTERS[32 - Math.clz32(reported)] as TaskState;
}
