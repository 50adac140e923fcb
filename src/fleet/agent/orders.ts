/** What an agent and the processes that it starts send each other. */
import type { Broker } from '../policy/broker.ts';
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

export interface SendOrder extends Pick<KeepOrder, 'journal' | 'everyMs' | 'isLast'> {
  readonly kind: 'send';
  readonly broker: Broker;
  readonly spoolBytes: number;
}

/** Of the process that empties the journal. */
export type MoveOrder = KeepOrder | SendOrder;

export type Order = WatchOrder | MoveOrder;

/** Sent after each round. */
export interface MoverReport {
  /** Rows or messages that were moved. */
  readonly moved: number;
  /** Events that the spool had no room for, since the process began. */
  readonly dropped: number;
  readonly problem: string | null;
}
