/** The sim driver: a simulated machine with an operating system on it. Needs no other software, and yields the same events for the same seed. */
import type { FaultInjector } from './fault-injector.ts';
import { Guest, type GuestOptions } from './guest/guest.ts';
import { Machine, type MachineOptions } from './machine/machine.ts';
import { MachineDriver } from './machine-driver.ts';

export interface SimOptions extends MachineOptions, GuestOptions {
  /** Memory answers "not fetched yet" until it is fetched, and again when the guest has run on. Default false. */
  readonly remote?: boolean;
  /** Makes the driver's memory and protection fail where it says. */
  readonly faults?: FaultInjector;
}

/** @throws PtmonError `bad-argument` */
export function createSimDriver(options: SimOptions = {}): SimDriver {
  return new SimDriver(options);
}

export class SimDriver extends MachineDriver {
  /** The operating system: its processes, and what it is doing. */
  readonly guest: Guest;

  constructor(options: SimOptions) {
    const machine = new Machine(options);
    const guest = new Guest(machine, options);
    const { seed = 1, remote = false, faults } = options;
    super({ machine, workload: guest, seed, remote, ...(faults && { faults }) });
    this.guest = guest;
  }
}
