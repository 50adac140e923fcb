/**
 * An address that another vCPU's unprocessed write has changed (rule C4).
 *
 * Processing one vCPU reads every marked entry, whoever marked it, because the addresses that it touches must come out true.
 * Addresses that it does not touch have then moved in the mirror without a word; what was last said of them is kept here
 * until the vCPU that moved them is processed.
 */
import type { Cause } from '../events.ts';
import type { Mapping } from '../tables/mapping.ts';

export interface Unsettled {
  readonly page: number;
  /** Of the address within its page. */
  readonly offset: number;
  /** What was last reported, or found when the watch began. */
  readonly reported: Mapping;
  readonly cause: Cause;
}
