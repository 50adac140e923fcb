/** A driver over a simulated machine: pulls slots out of the scheduler, one batch each. */
import { setImmediate } from 'node:timers/promises';
import { PtmonError } from '../core/error.ts';
import type { PageProtection } from '../core/memory/page-access.ts';
import type { PhysicalMemory } from '../core/memory/physical-memory.ts';
import type { Driver, RegisterAccess, RemoteFetch, SourceEvent } from '../driver/driver.ts';
import type { FaultInjector } from './fault-injector.ts';
import type { Machine } from './machine/machine.ts';
import { Random } from './random.ts';
import { RemoteMemory } from './remote.ts';
import { Scheduler } from './scheduler.ts';
import type { Workload } from './workload.ts';

export interface MachineDriverOptions {
  readonly machine: Machine;
  readonly workload: Workload;
  /** Of the scheduler; default 1. */
  readonly seed?: number;
  /** Memory answers "not fetched yet" until it is fetched, and again when the guest has run on. Default false. */
  readonly remote?: boolean;
  /** Makes the driver's memory and protection fail where it says. */
  readonly faults?: FaultInjector;
}

/** Slots without a word between two turns of the event loop: about a millisecond. */
const SLOTS_PER_TURN = 256;

/** @throws PtmonError `bad-argument` for a seed that is not one */
export function createMachineDriver(options: MachineDriverOptions): MachineDriver {
  return new MachineDriver(options);
}

export class MachineDriver implements Driver {
  readonly name = 'sim';
  readonly machine: Machine;
  readonly memory: PhysicalMemory;
  readonly protection: PageProtection;
  readonly registers: RegisterAccess;
  readonly remote?: RemoteFetch;
  readonly #scheduler: Scheduler;
  readonly #remote: RemoteMemory | undefined;
  #closed = false;

  constructor(options: MachineDriverOptions) {
    const { machine, workload, seed = 1, remote = false, faults } = options;
    this.machine = machine;
    this.registers = machine;
    this.#remote = remote ? new RemoteMemory(machine.memory) : undefined;
    if (this.#remote !== undefined) this.remote = this.#remote;
    const memory = this.#remote ?? machine.memory;
    this.memory = faults?.memory(memory) ?? memory;
    this.protection = faults?.protection(machine.views) ?? machine.views;
    this.#scheduler = new Scheduler(machine, workload, new Random(seed));
  }

  /**
   * A batch is what one slot produced; an empty one says that some vCPU has begun or ended a piece of work of which nothing
   * could be seen. Ends with the workload; may be called again, and goes on where it was. @throws PtmonError `closed`
   */
  async *run(signal?: AbortSignal): AsyncGenerator<readonly SourceEvent[], void, undefined> {
    if (this.#closed) throw new PtmonError('closed', 'the simulated machine is closed');
    for (let slots = 1; ; slots++) {
      if (slots % SLOTS_PER_TURN === 0) await setImmediate();
      if (this.#closed || signal?.aborted === true || this.#scheduler.finished) return;
      this.#remote?.forget();
      const batch = this.#scheduler.slot();
      if (batch.length > 0 || this.#scheduler.stirred) yield batch;
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.machine.views.clear();
  }
}
