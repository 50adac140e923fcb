/** A workload that has many vCPUs do a few chosen things at once, and makes every write of theirs trap. */
import type { KernelAction, ProcessAction } from '../../../src/testing/guest/actions/action-kind.ts';
import { FRAME_FREE, FRAME_TABLE } from '../../../src/testing/guest/frames/frame-allocator.ts';
import { createMachineDriver, Guest, Machine, type Steps, type Workload } from '../../../src/testing/index.ts';
import { MemoryModel } from './memory-model.ts';
import type { Stressed } from './process-reader.ts';
import { Random } from '../../../src/testing/random.ts';
import type { SimOptions } from '../../../src/testing/index.ts';

export interface StressPlan {
  readonly options: SimOptions;
  readonly kernel?: readonly KernelAction[];
  /** Each needs its process's lock, which is taken here as the guest takes it. */
  readonly process?: readonly ProcessAction[];
  /** Done one after the other, before anything else. */
  readonly before?: readonly (KernelAction | ProcessAction)[];
  readonly steps: number;
  /** Whether only writes to tables trap, so that everything else is done in between without anybody else running. */
  readonly onlyTables?: boolean;
}

/** Fills all memory that is free with what looks like entries: nobody may count on finding it empty. */
export function soilMemory({ guest, machine }: Stressed): void {
  for (const gfn of guest.kernel.frames.ofKind(FRAME_FREE)) machine.page(gfn)!.fill(0x0badf067);
}

class Stress implements Workload {
  readonly #guest: Guest;
  readonly #plan: StressPlan;
  readonly #random: Random;
  #left: number;

  constructor(guest: Guest, plan: StressPlan) {
    this.#guest = guest;
    this.#plan = plan;
    this.#random = new Random(plan.options.seed ?? 1, 2);
    this.#left = plan.steps;
  }

  get finished(): boolean {
    return this.#left <= 0;
  }

  start(vcpu: number): Steps | undefined {
    if (this.finished) return undefined;
    this.#left--;
    const { kernel = [], process = [] } = this.#plan;
    const n = this.#random.below(kernel.length + process.length);
    const steps =
      n < kernel.length
        ? kernel[n]!.begin(this.#guest.kernel.cpus[vcpu]!)
        : this.onProcess(process[n - kernel.length]!, vcpu);
    return steps;
  }

  onProcess(action: ProcessAction, vcpu: number): Steps | undefined {
    const { kernel } = this.#guest;
    const process = this.#random.pick(kernel.processes);
    const { space } = process;
    if (!space.tryLock(action.exclusive)) return undefined;
    const steps = action.begin(kernel.cpus[vcpu]!, process);
    if (steps === undefined) space.unlock(action.exclusive);
    else kernel.enter(vcpu, space, false);
    return steps && unlocking(steps, () => space.unlock(action.exclusive));
  }
}

function* unlocking(steps: Steps, unlock: () => void): Steps {
  yield* steps;
  unlock();
}

/** Runs it to the end. Answers the machine and the guest, and how many vCPUs stood in a trap at once. */
export async function stress(plan: StressPlan): Promise<{ stressed: Stressed; model: MemoryModel; together: number }> {
  const machine = new Machine(plan.options);
  const guest = new Guest(machine, { ...plan.options, steps: 0 });
  soilMemory({ guest, machine });
  const model = new MemoryModel({ guest, machine });
  const workload = new Stress(guest, plan);
  for (const action of plan.before ?? []) {
    const steps = 'exclusive' in action ? workload.onProcess(action, 0) : action.begin(guest.kernel.cpus[0]!);
    for (const _ of steps ?? []) machine.settle();
  }
  const protect = () => {
    for (const gfn of guest.kernel.frames.ofKind(FRAME_TABLE)) machine.views.setAccess(0, gfn, 5);
  };
  if (plan.onlyTables) protect();
  else
    for (const { gfn, frames } of machine.ram) for (let n = 0; n < frames; n++) machine.views.setAccess(0, gfn + n, 5);
  machine.takeEvents();
  const driver = createMachineDriver({ machine, workload, seed: plan.options.seed ?? 1 });
  let together = 0;
  for await (const _ of driver.run()) {
    if (plan.onlyTables) protect();
    together = Math.max(together, machine.vcpus.filter((vcpu) => vcpu.inFlight !== undefined).length);
  }
  return { stressed: { guest, machine }, model, together };
}
