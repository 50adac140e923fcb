/**
 * Which vCPU runs next. A slot is what one vCPU does until it traps, waits, or has finished its piece of work, or the single
 * step that ends a trap. So between a trap and its commit other vCPUs have slots, and may trap and commit themselves.
 */
import type { SourceEvent } from '../driver/driver.ts';
import type { Machine } from './machine/machine.ts';
import type { Random } from './random.ts';
import type { Steps, Workload } from './workload.ts';

/** A trapped vCPU is stepped after this many slots at the latest. */
const LONGEST_TRAP = 8;

/** A vCPU changes its view about once in as many pieces of work, where there are several views. */
const VIEW_SWITCH = 8;

export class Scheduler {
  readonly #machine: Machine;
  readonly #workload: Workload;
  readonly #random: Random;
  readonly #tasks: (Steps | undefined)[];
  readonly #waited: number[];
  #stirred = false;
  #resets: number;

  constructor(machine: Machine, workload: Workload, random: Random) {
    this.#machine = machine;
    this.#workload = workload;
    this.#random = random;
    this.#tasks = machine.vcpus.map(() => undefined);
    this.#waited = machine.vcpus.map(() => 0);
    this.#resets = machine.resets;
  }

  /** Whether the workload has ended and every vCPU is idle. */
  get finished(): boolean {
    return this.#workload.finished && this.#tasks.every((task) => task === undefined);
  }

  /** Whether the last slot began or ended a piece of work. */
  get stirred(): boolean {
    return this.#stirred;
  }

  /** Runs one vCPU. Returns what the hypervisor reported. */
  slot(): readonly SourceEvent[] {
    this.#stirred = false;
    const id = this.#next();
    const vcpu = this.#machine.vcpus[id]!;
    if (vcpu.inFlight !== undefined) {
      this.#waited[id] = 0;
      this.#machine.commit(id);
    } else {
      this.#advance(id);
    }
    return this.#machine.takeEvents();
  }

  #next(): number {
    const { vcpus } = this.#machine;
    let overdue = -1;
    for (let id = 0; id < vcpus.length; id++) {
      if (vcpus[id]!.inFlight !== undefined && ++this.#waited[id]! > LONGEST_TRAP) overdue = id;
    }
    return overdue < 0 ? this.#random.below(vcpus.length) : overdue;
  }

  #advance(id: number): void {
    let task = this.#tasks[id];
    if (task === undefined) {
      task = this.#workload.start(id);
      if (task === undefined) return;
      this.#tasks[id] = task;
      this.#stirred = true;
      this.#wander(id);
    }
    const { done } = task.next();
    if (this.#machine.resets !== this.#resets) {
      // A reset ends what the other vCPUs were doing.
      this.#resets = this.#machine.resets;
      this.#tasks.fill(undefined);
      this.#tasks[id] = task;
    }
    if (done) {
      this.#tasks[id] = undefined;
      this.#stirred = true;
    }
  }

  #wander(id: number): void {
    const views = this.#machine.views.numbers;
    if (views.length > 1 && this.#random.oneIn(VIEW_SWITCH)) this.#machine.switchView(id, this.#random.pick(views));
  }
}
