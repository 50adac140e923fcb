/**
 * What /proc calls a kernel thread: its whole name, which `comm` has no room for, and what a worker last worked on
 * (`proc_task_name`, fs/proc/array.c; `wq_worker_comm`, kernel/workqueue.c).
 */
import type { Btf } from '../btf/btf.ts';
import { KIND } from '../btf/kinds.ts';
import { offsetOf } from '../btf/offsets.ts';
import type { KernelMemory } from '../memory/kernel-memory.ts';

/** include/linux/sched.h; a thread of a workqueue. */
const PF_WQ_WORKER = 0x20;
/** What `proc_task_name` has room for. */
const NAME_BYTES = 64;

export class KernelThreadNames {
  readonly #memory: KernelMemory;
  /** Of `struct kthread` in a task: in 5.17 by e32cf5dfbe22; it was in `set_child_tid` before, and had no name. */
  readonly #kthread: number | undefined;
  /** Since 5.17 (d6986ce24fc0). */
  readonly #fullName: number | undefined;
  readonly #data: number | undefined;
  readonly #worker: { readonly pool: number; readonly desc: number; readonly work: number } | undefined;
  /** Since 6.10 (2a1b02bcba78) a worker's whole name comes before its work, too. */
  readonly #workersHaveFullNames: boolean;

  constructor(memory: KernelMemory, btf: Btf) {
    this.#memory = memory;
    this.#kthread = offsetOf(btf, 'task_struct', 'worker_private') ?? offsetOf(btf, 'task_struct', 'set_child_tid');
    this.#fullName = offsetOf(btf, 'kthread', 'full_name');
    this.#data = offsetOf(btf, 'kthread', 'data');
    const [pool, desc, work] = ['pool', 'desc', 'current_work'].map((name) => offsetOf(btf, 'worker', name));
    this.#worker = pool === undefined || desc === undefined || work === undefined ? undefined : { pool, desc, work };
    this.#workersHaveFullNames = btf.find(KIND.function, 'format_worker_id') !== undefined;
  }

  /** @param command what the task's `comm` says @throws GuestFault */
  nameOf(task: bigint, flags: number, command: string): string {
    const kthread = this.#kthread === undefined ? 0n : this.#memory.pointer(task + BigInt(this.#kthread));
    if (kthread === 0n) return command;
    const full = this.#fullName === undefined ? 0n : this.#memory.pointer(kthread + BigInt(this.#fullName));
    const name = () => (full === 0n ? command : this.#memory.text(full, NAME_BYTES));
    if ((flags & PF_WQ_WORKER) === 0) return name();
    return (this.#workersHaveFullNames ? name() : command) + this.#workOf(kthread);
  }

  /** `+` before what it does, `-` before what it has done; nothing for a worker without a pool. */
  #workOf(kthread: bigint): string {
    if (this.#worker === undefined || this.#data === undefined) return '';
    const worker = this.#memory.pointer(kthread + BigInt(this.#data));
    if (worker === 0n || this.#memory.pointer(worker + BigInt(this.#worker.pool)) === 0n) return '';
    const work = this.#memory.text(worker + BigInt(this.#worker.desc), 32);
    const isBusy = this.#memory.pointer(worker + BigInt(this.#worker.work)) !== 0n;
    return work === '' ? '' : (isBusy ? '+' : '-') + work;
  }
}
