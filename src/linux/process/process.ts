/** A process, as callers get it. */
import type { TaskState } from './task-state.ts';

export interface Thread {
  readonly tid: number;
  readonly command: string;
  readonly state: TaskState;
}

export interface Process {
  /** As the initial namespace numbers it. */
  readonly pid: number;
  /** 0 where it has none: the first process, and the parent of kernel threads. */
  readonly parent: number;
  /** Its name, at most 15 bytes: what /proc/PID/comm says. */
  readonly command: string;
  /** Real and effective user. */
  readonly uid: number;
  readonly euid: number;
  readonly state: TaskState;
  readonly isKernelThread: boolean;
  /** Physical addresses of its top-level tables, the kernel's first; none where it has no memory of its own. */
  readonly roots: readonly number[];
  /** Its first thread among them. */
  readonly threads: readonly Thread[];
  /** Address of its `task_struct`: another one where a thread that is not the first runs another program. */
  readonly task: bigint;
  /** When it began, in nanoseconds since the boot: with its PID no other process's, also after exec. 0 where the kernel does not say. */
  readonly startTime: bigint;
  /** Address of its `mm_struct`; null where it has no memory of its own. */
  readonly mm: bigint | null;
}

/** What could be read, and what could not. */
export interface ProcessList {
  /** In the order of their numbers. */
  readonly processes: readonly Process[];
  /** Human-readable: each inconsistency of the guest. */
  readonly faults: readonly string[];
}
