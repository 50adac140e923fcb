/**
 * Every call to the monitor under test goes through here: it counts what the call asks of the source, arms the fault that a
 * run is to have, fetches remote memory, and holds failing calls to rule C9.
 */
import { PtmonError, type PtmonErrorCode } from '../../src/core/error.ts';
import type { FaultAt, SourceCall } from './fault-at.ts';
import { type Machine, SourceFailure } from './machine.ts';
import { Mismatch, same, text } from './mismatch.ts';
import type { Subject } from './subject.ts';

export class Attempts {
  subject!: Subject;
  /** How often each call to the monitor asked the source for what. */
  readonly sourceCalls: Record<SourceCall, number>[] = [];
  /** Protections that could not be restored, that were reported, and that no call has had the chance to restore since. */
  readonly unrestored = new Set<string>();
  #broken: unknown;
  readonly #machine: Machine;
  readonly #fault: FaultAt | undefined;

  constructor(machine: Machine, fault: FaultAt | undefined) {
    this.#machine = machine;
    this.#fault = fault;
  }

  /** Whether the fault is still to come: until then the run is one that has been seen. */
  get isBeforeFault(): boolean {
    return this.#fault !== undefined && this.sourceCalls.length <= this.#fault.at;
  }

  /** Whether a frame still traps because it could not be restored: the call that failed to may have tried again at its end. */
  isUnrestored(gfn: number): boolean {
    return [...this.unrestored].some((key) => key.endsWith(`:${gfn}`) && this.#machine.failedSets.has(key));
  }

  /** The source works again. */
  recover(): void {
    this.#machine.plan = undefined;
  }

  /** Whether calls may fail and not be made again at once. */
  get mayFailForLong(): boolean {
    return (this.#fault?.lasting ?? 0) > 0;
  }

  /** What the monitor says of protections that it could not restore. A listener must not throw: what is wrong comes out later. */
  onFault(fault: PtmonError): void {
    try {
      this.#noteFault(fault);
    } catch (error) {
      this.#broken ??= error;
    }
  }

  #noteFault(fault: PtmonError): void {
    const { view, gfn } = fault.facts;
    const key = `${view}:${gfn}`;
    if (!(fault instanceof PtmonError) || fault.code !== 'restore-failed' || view === undefined || gfn === undefined) {
      throw new Mismatch('C9', `onFault got ${String(fault)} with ${text(fault.facts)}`);
    }
    if (this.#machine.fired === 0)
      throw new Mismatch('C9', `a fault was reported and nothing failed: ${fault.message}`);
    if (this.unrestored.has(key)) throw new Mismatch('C9', `the restoration of ${key} is reported twice`);
    this.unrestored.add(key);
  }

  /** A question, which changes nothing; the source answers it. */
  ask<T>(call: () => T): T {
    const { plan } = this.#machine;
    this.#machine.plan = undefined;
    try {
      for (;;) {
        try {
          return call();
        } catch (error) {
          if (!this.#fetch(error)) throw new Mismatch('C8', `a question throws ${String(error)}`, { cause: error });
        }
      }
    } finally {
      this.#machine.plan = plan;
    }
  }

  /** A call that may change the monitor. Undefined where it fails, for good as far as this run is concerned. */
  change<T>(call: () => T): { readonly value: T } | undefined {
    const number = this.sourceCalls.length;
    const counts = { ...this.#machine.calls };
    this.#arm(number);
    const armed = this.#machine.plan !== undefined;
    const retried = armed ? [] : [...this.unrestored];
    try {
      for (;;) {
        const before = armed || this.#machine.fetched !== undefined ? this.#snapshot() : '';
        const fired = this.#machine.fired;
        try {
          const value = call();
          if (this.#broken !== undefined) throw this.#broken;
          // A release of what is not monitored does nothing, this neither.
          for (const key of value === false ? [] : retried) this.unrestored.delete(key);
          return { value };
        } catch (error) {
          if (error instanceof Mismatch) throw error;
          const fetched = this.#fetch(error);
          if (!fetched && this.#machine.fired === fired)
            throw new Mismatch('C8', `a call throws ${String((error as Error).stack)}`, { cause: error });
          if (!fetched) this.#checkFailure(error);
          same('C9', this.#snapshot(), before, () => `what a failed call (${String(error)}) leaves`);
          if (fetched) continue;
          if (this.#fault!.lasting > 0) return undefined;
          this.#machine.plan = undefined;
        }
      }
    } finally {
      const { read, get, set, late } = this.#machine.calls;
      const since = {
        read: read - counts.read,
        get: get - counts.get,
        set: set - counts.set,
        late: late - counts.late,
      };
      this.sourceCalls.push(since);
      if (this.#fault !== undefined && number >= this.#fault.at + this.#fault.lasting) this.#machine.plan = undefined;
    }
  }

  /** A call that must be refused, and change nothing. */
  refused(rule: string, codes: readonly PtmonErrorCode[], call: () => void): void {
    const before = this.#snapshot();
    for (;;) {
      try {
        call();
      } catch (error) {
        if (this.#fetch(error)) continue;
        const failed = this.#machine.plan !== undefined && error instanceof SourceFailure;
        if (!failed && (!(error instanceof PtmonError) || !codes.includes(error.code))) {
          throw new Mismatch(rule, `refused with ${String(error)}, expected ${codes.join(' or ')}`, { cause: error });
        }
        return same('C9', this.#snapshot(), before, () => 'what a refused call leaves');
      }
      throw new Mismatch(rule, `not refused, expected ${codes.join(' or ')}`);
    }
  }

  #arm(number: number): void {
    const { at, call, nth, lasting } = this.#fault ?? { at: -1, call: 'read', nth: 0, lasting: 0 };
    if (number !== at) return;
    this.#machine.plan = { call, from: this.#machine.calls[call] + nth, count: lasting > 0 ? Infinity : 1 };
  }

  #snapshot(): string {
    const access = this.#machine.changedAccess().filter((key) => !this.unrestored.has(key));
    return text({ dump: this.subject.dump(), access });
  }

  /** Whether the error was that memory must be fetched first; then it has been. */
  #fetch(error: unknown): boolean {
    const { fetched } = this.#machine;
    if (fetched === undefined || !(error instanceof PtmonError) || error.code !== 'not-fetched') return false;
    const missing = (error.facts.missing ?? []).map((pa) => Math.floor(pa / 4096)).filter((gfn) => !fetched.has(gfn));
    if (missing.length === 0) throw new Mismatch('C9', `not-fetched misses nothing: ${text(error.facts)}`);
    for (const gfn of missing) fetched.add(gfn);
    return true;
  }

  #checkFailure(error: unknown): void {
    const cause = error instanceof PtmonError ? error.cause : error;
    if (!(cause instanceof SourceFailure)) {
      throw new Mismatch('C9', `a failing source makes the call throw ${String(error)}`, { cause: error });
    }
  }
}
