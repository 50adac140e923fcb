/** What a check of the driver contract is: a name and a function, for any test runner. */
import type { Driver } from '../../driver/index.ts';

/** A driver, just opened, and what the checks must know of its source. */
export interface ContractSubject {
  readonly driver: Driver;
  /** Frame numbers of page tables that the guest uses now and keeps changing. The more, the more a check sees. */
  readonly tables: () => readonly number[];
  /** A physical address that is not RAM. */
  readonly hole: number;
  /** Frees what the subject needs besides the driver. Called after the driver is closed. */
  readonly dispose?: () => void | Promise<void>;
}

export interface ContractOptions {
  /** Opens the same source from the same beginning each time. */
  readonly open: () => ContractSubject | Promise<ContractSubject>;
  /** Whether a source that is opened twice yields the same events twice. */
  readonly deterministic: boolean;
  /** Whether the source runs until it is aborted; otherwise it may end by itself during a check. */
  readonly endless: boolean;
}

/** How a check ended. A check that fails throws instead: `AssertionError`, or the error of the driver. */
export type ContractResult = { readonly skipped: false } | { readonly skipped: true; readonly reason: string };

export interface ContractCheck {
  /** For example `protection: a view that does not exist is "no-such-view"`. */
  readonly name: string;
  /** Opens the driver, checks it, and closes it. May be called again. */
  readonly run: () => Promise<ContractResult>;
}

/** What one check does. Returns why it does not apply to this driver, or nothing. */
export type Check = (open: () => Promise<ContractSubject>, options: ContractOptions) => Promise<string | void>;

/** The checks of one capability, by name. */
export type CheckGroup = Readonly<Record<string, Check>>;
