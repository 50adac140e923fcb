/** Reads tasks: what each of the kernel's structures says of a process. */
import { hex } from '../../core/address/va.ts';
import type { LinuxKernel } from '../kernel/kernel.ts';
import { FaultList } from '../memory/fault-list.ts';
import { attempt } from '../memory/guest-fault.ts';
import type { KernelMemory } from '../memory/kernel-memory.ts';
import { listNodes } from '../memory/linked-list.ts';
import { attemptSteps, type Steps } from '../memory/steps.ts';
import type { Process, ProcessList, Thread } from './process.ts';
import { KernelThreadNames } from './kernel-thread-name.ts';
import { rootsOf } from './roots.ts';
import { type TaskLayout, taskLayout } from './task-layout.ts';
import { taskState, type TaskState } from './task-state.ts';

/** include/linux/sched.h; since 2.6.27 (246bb0b1deb2). */
const PF_KTHREAD = 0x0020_0000;
const COMM_BYTES = 16;

/** What says whether a process is one that is looked for, and whether it is still the same. */
export interface TaskBrief {
  readonly task: bigint;
  readonly pid: number;
  readonly command: string;
  /** 0 where it has no memory of its own. */
  readonly mm: bigint;
  /** When it began, in nanoseconds since the boot: tells it from a later one of the same number. 0 where the kernel does not say. */
  readonly startTime: bigint;
}

/** Every method throws PtmonError `not-fetched` where remote memory must be fetched first. */
export class TaskReader {
  readonly layout: TaskLayout;
  readonly #memory: KernelMemory;
  readonly #listHead: bigint;
  readonly #names: KernelThreadNames;

  /** @throws PtmonError `corrupt-input` where the BTF lacks what a process is told by */
  constructor({ memory, btf, initTask }: LinuxKernel) {
    this.layout = taskLayout(btf);
    this.#memory = memory;
    this.#listHead = initTask + BigInt(this.layout.tasks);
    this.#names = new KernelThreadNames(memory, btf);
  }

  /** The head of the list of all processes, in the first task. */
  get listHead(): bigint {
    return this.#listHead;
  }

  /** The first thread of each process, in the order of the kernel's list: new ones come last. */
  *tasks(faults: (why: string) => void): Steps<bigint[]> {
    const offset = BigInt(this.layout.tasks);
    const nodes = yield* listNodes(this.#memory, { head: this.#listHead, what: 'processes' }, faults);
    return nodes.map((node) => node - offset);
  }

  /** What is known of each process that is no kernel thread; those that cannot be read are faults. */
  *briefs(faults: (why: string) => void): Steps<TaskBrief[]> {
    const briefs: TaskBrief[] = [];
    for (const task of yield* this.tasks(faults)) {
      const brief = yield* attemptSteps(() => this.#brief(task), faults);
      if (brief !== undefined) briefs.push(brief);
      yield;
    }
    return briefs;
  }

  /** Undefined for a kernel thread. @throws GuestFault where it cannot be read */
  *#brief(task: bigint): Steps<TaskBrief | undefined> {
    const { layout } = this;
    if (this.#isKernelThread(task)) return undefined;
    return {
      task,
      // While another thread than the first runs a program, `pid` is that of the thread for a moment (exchange_tids).
      pid: this.#u32(task, layout.tgid),
      command: this.#comm(task),
      mm: yield* this.#mmOf(task),
      startTime: this.#startTime(task),
    };
  }

  /** Everything that can be read. */
  *list(): Steps<ProcessList> {
    const faults = new FaultList();
    const processes: Process[] = [];
    for (const task of yield* this.tasks(faults.note)) {
      const note = (why: string) => faults.note(`the process at ${hex(task)}: ${why}`);
      const process = yield* attemptSteps(() => this.#process(task, note), note);
      if (process !== undefined) processes.push(process);
      yield;
    }
    return { processes: processes.sort((a, b) => a.pid - b.pid), faults: faults.texts };
  }

  *#process(task: bigint, note: (why: string) => void): Steps<Process> {
    const { layout } = this;
    const isKernelThread = this.#isKernelThread(task);
    const mm = isKernelThread ? 0n : yield* this.#mmOf(task);
    const parent = this.#pointer(task, layout.real_parent);
    const cred = this.#pointer(task, layout.real_cred);
    return {
      pid: this.#u32(task, layout.tgid),
      parent: this.#u32(parent, layout.tgid),
      command: this.#command(task),
      uid: this.#u32(cred, layout.cred.uid),
      euid: this.#u32(cred, layout.cred.euid),
      state: this.#state(task),
      isKernelThread,
      roots: mm === 0n ? [] : (attempt(() => this.roots(mm), note) ?? []),
      threads: yield* this.#threads(task, note),
      task,
      startTime: this.#startTime(task),
      mm: mm === 0n ? null : mm,
    };
  }

  /** @throws GuestFault */
  roots(mm: bigint): number[] {
    return rootsOf(this.#memory, this.#pointer(mm, this.layout.mmStruct.pgd));
  }

  /** How many use an `mm_struct`: 0 once it is to be freed. @throws GuestFault */
  users(mm: bigint): number {
    return this.#u32(mm, this.layout.mmStruct.mm_users);
  }

  *#threads(leader: bigint, note: (why: string) => void): Steps<Thread[]> {
    const read = (task: bigint): Thread => ({
      tid: this.#u32(task, this.layout.pid),
      command: this.#command(task),
      state: this.#state(task),
    });
    const threads: Thread[] = [];
    for (const task of yield* this.#threadsOf(leader, note)) {
      const thread = attempt(() => read(task), note);
      if (thread !== undefined) threads.push(thread);
      yield;
    }
    return threads;
  }

  /** The first thread may end before the others, which then have the memory. */
  *#mmOf(leader: bigint): Steps<bigint> {
    const own = this.#pointer(leader, this.layout.mm);
    if (own !== 0n) return own;
    for (const task of yield* this.#threadsOf(leader, () => {})) {
      const mm = this.#pointer(task, this.layout.mm);
      if (mm !== 0n) return mm;
      yield;
    }
    return 0n;
  }

  /** The tasks of a process's threads, the first one among them. */
  *#threadsOf(leader: bigint, note: (why: string) => void): Steps<bigint[]> {
    const { layout } = this;
    if (layout.threadHead !== undefined && layout.thread_node !== undefined) {
      const node = BigInt(layout.thread_node);
      const head = this.#pointer(leader, layout.signal) + BigInt(layout.threadHead);
      const nodes = yield* listNodes(this.#memory, { head, what: 'threads' }, note);
      return nodes.map((at) => at - node);
    }
    const group = layout.thread_group;
    if (group === undefined) return [leader];
    const others = yield* listNodes(this.#memory, { head: leader + BigInt(group), what: 'threads' }, note);
    return [leader, ...others.map((at) => at - BigInt(group))];
  }

  #state(task: bigint): TaskState {
    return taskState(this.#u32(task, this.layout.state), this.#u32(task, this.layout.exit_state));
  }

  #isKernelThread(task: bigint): boolean {
    return (this.#u32(task, this.layout.flags) & PF_KTHREAD) !== 0;
  }

  #startTime(task: bigint): bigint {
    const { startTime } = this.layout;
    return startTime === undefined ? 0n : this.#memory.u64(task + BigInt(startTime));
  }

  #comm(task: bigint): string {
    return this.#memory.text(task + BigInt(this.layout.comm), COMM_BYTES);
  }

  #command(task: bigint): string {
    const command = this.#comm(task);
    if (!this.#isKernelThread(task)) return command;
    return attempt(() => this.#names.nameOf(task, this.#u32(task, this.layout.flags), command)) ?? command;
  }

  #u32(at: bigint, offset: number): number {
    return this.#memory.u32(at + BigInt(offset));
  }

  #pointer(at: bigint, offset: number): bigint {
    return this.#memory.pointer(at + BigInt(offset));
  }
}
