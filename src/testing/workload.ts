/** What the vCPUs of a machine execute: an operating system, or a list of writes. */
import type { Machine } from './machine/machine.ts';

/**
 * Code that runs on a vCPU and stops wherever it yields: after a write that trapped (it goes on when the write is in
 * memory), while it waits for a lock, or to have what it reported delivered first.
 */
export type Steps<T = void> = Generator<undefined, T, undefined>;

export interface Workload {
  /** Nothing will be started any more. */
  readonly finished: boolean;
  /** The next piece of work for an idle vCPU; undefined when there is none for it now. */
  start(vcpu: number): Steps | undefined;
}

/** One operation of a program without an operating system. */
export type Operation =
  | { readonly kind: 'write'; readonly vcpu: number; readonly pa: number; readonly bytes: Uint8Array }
  | { readonly kind: 'dma'; readonly pa: number; readonly bytes: Uint8Array }
  | { readonly kind: 'reset' };

/** Runs the operations in order; each vCPU goes on to its next one as soon as its last is in memory. */
export class RawProgram implements Workload {
  readonly #machine: Machine;
  readonly #operations: Operation[];

  /** @throws PtmonError `bad-argument` for a write by a vCPU that does not exist */
  constructor(machine: Machine, operations: readonly Operation[]) {
    for (const operation of operations) if (operation.kind === 'write') machine.vcpu(operation.vcpu);
    this.#machine = machine;
    this.#operations = [...operations];
  }

  get finished(): boolean {
    return this.#operations.length === 0;
  }

  start(vcpu: number): Steps | undefined {
    // An operation without a vCPU waits until every operation before it has begun.
    const next = this.#operations.findIndex((one) => one.kind !== 'write' || one.vcpu === vcpu);
    const found = this.#operations[next];
    if (found === undefined || (found.kind !== 'write' && next > 0)) return undefined;
    this.#operations.splice(next, 1);
    return this.#perform(found);
  }

  *#perform(operation: Operation): Steps {
    switch (operation.kind) {
      case 'write':
        if (this.#machine.write(operation.vcpu, operation.pa, operation.bytes)) yield;
        break;
      case 'dma':
        this.#machine.dma([operation]);
        break;
      case 'reset':
        this.#machine.reset();
        break;
    }
  }
}
