/** What an agent and the processes that it starts send each other. */
import type { JournalCounts } from '../journal/journal.ts';
import type { SegmentFacts } from '../journal/segment.ts';
import type { WatchRule } from '../policy/policy.ts';
import type { WatchTarget } from './found-vm.ts';

export interface WatchOrder {
  readonly kind: 'watch';
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

export interface KeepOrder {
  readonly kind: 'keep';
  readonly journal: string;
  readonly archive: string;
  readonly keepDays: number | undefined;
  /** Between two rounds. */
  readonly everyMs: number;
  /** One round, and no more. */
  readonly isLast?: true;
}

export type Order = WatchOrder | KeepOrder;

/** Sent after each round. */
export interface KeeperReport {
  /** That were moved. */
  readonly rows: number;
  readonly problem: string | null;
}
