/** What an agent and the processes that it starts send each other. */
import type { JournalCounts } from '../journal/journal.ts';
import type { SegmentFacts } from '../journal/segment.ts';
import type { WatchRule } from '../policy/policy.ts';
import type { WatchTarget } from './found-vm.ts';

export interface WatchOrder {
  readonly facts: SegmentFacts;
  /** Of the segments. */
  readonly folder: string;
  readonly maxMs: number;
  readonly maxBytes: number;
  readonly rule: WatchRule;
  readonly target: WatchTarget;
}

/** Sent each second. */
export interface WorkerReport {
  readonly counts: JournalCounts;
}

export const NO_COUNTS: JournalCounts = { events: 0, limited: 0, unwritten: 0 };
