/** The engine under test, with the fast path and without. The latter also carries its long calls out in steps, the former processes at once. */
import type { CallInSteps } from '../../src/core/monitor/call-in-steps.ts';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { PageTableMonitor } from '../../src/core/monitor/page-table-monitor.ts';
import type { RangeWatchRequest } from '../../src/core/monitor/api.ts';
import type { MakeSubject } from './subject.ts';

/**
 * Takes its calls back after 0 to 6 steps, where they still can be, and makes them again. Not where a write was reported meanwhile: for the
 * second call it would have landed.
 */
class Hesitant extends PageTableMonitor {
  #calls = 0;
  #marks = 0;

  override markDirtyEntry(pa: number, view: number, vcpu: number): boolean {
    this.#marks++;
    return super.markDirtyEntry(pa, view, vcpu);
  }

  override markDirty(pa: number, byteLength: number, view: number, vcpu: number): boolean {
    this.#marks++;
    return super.markDirty(pa, byteLength, view, vcpu);
  }

  override monitorRange(request: RangeWatchRequest): void {
    this.#call(() => this.monitorRangeInSteps(request));
  }

  override processDirtyEntries(vcpu: number): MonitorEvent[] {
    return this.#call(() => this.processDirtyEntriesInSteps(vcpu));
  }

  override resync(view?: number): MonitorEvent[] {
    return this.#call(() => this.resyncInSteps(view));
  }

  override rootGone(root: number | bigint, view?: number): MonitorEvent[] {
    return this.#call(() => this.rootGoneInSteps(root, view));
  }

  #call<T>(begin: () => CallInSteps<T>): T {
    const call = begin();
    const marks = this.#marks;
    for (let steps = this.#calls++ % 7; steps > 0 && call.advance(); steps--);
    const isTakenBack = marks === this.#marks && call.cancel(new Error('taken back'));
    return isTakenBack ? begin().finish() : call.finish();
  }
}

/** Processes at once where it can, as a session does whose driver hands batches over in the turn in which the guest stopped. */
class Prompt extends PageTableMonitor {
  override processDirtyEntries(vcpu: number): MonitorEvent[] {
    return this.processAtOnce(vcpu) ?? super.processDirtyEntries(vcpu);
  }

  override resync(view?: number): MonitorEvent[] {
    const isUnchanged = this.isUnchanged('all');
    const events = super.resync(view);
    if (isUnchanged && events.length > 0) throw new Error(`${events.length} events of memory that was unchanged`);
    return events;
  }
}

export const ENGINES = {
  'with the fast path': (options) => new Prompt({ ...options, fastPath: true }),
  'without the fast path': (options) => new Hesitant({ ...options, fastPath: false }),
} as const satisfies Readonly<Record<string, MakeSubject>>;

export type EngineName = keyof typeof ENGINES;

export const ENGINE_NAMES = Object.keys(ENGINES) as EngineName[];
