/** What a session is asked to watch, as calls that can be kept and made again. */
import type { StepwiseCall } from './carry-out.ts';

export interface AddressCall {
  readonly kind: 'monitor' | 'unmonitor' | 'unmonitorByForce';
  readonly view: number;
  /** As it was given: a CR3 value or a physical address. */
  readonly root: bigint;
  readonly va: bigint;
  readonly tag?: string | number;
}

export interface RangeCall {
  readonly kind: 'monitorRange' | 'unmonitorRange';
  readonly view: number;
  readonly root: bigint;
  readonly va: bigint;
  readonly byteLength: bigint;
  /** False for `unmonitorRange`. */
  readonly runs: boolean;
  readonly tag?: string | number;
}

export interface ViewCall {
  readonly kind: 'unmonitorView' | 'resync';
  /** Undefined for all of them. */
  readonly view: number | undefined;
}

export interface RootGoneCall {
  readonly kind: 'rootGone';
  readonly root: bigint;
  readonly view: number | undefined;
}

export interface AllCall {
  readonly kind: 'unmonitorAll';
}

/** A call of the monitor that changed what is watched, or its tag. */
export type WatchCall = AddressCall | RangeCall | ViewCall | RootGoneCall | AllCall;

export interface AddressRequest {
  readonly view: number;
  readonly root: bigint;
  readonly va: bigint;
  readonly tag?: string | number;
}

export interface RangeRequest extends AddressRequest {
  readonly byteLength: bigint;
  readonly runs: boolean;
}

/** Whatever these calls can be made on: a monitor, of which a driver knows nothing else. */
export interface WatchTarget {
  monitor(request: AddressRequest): void;
  monitorRangeInSteps(request: RangeRequest): StepwiseCall<unknown>;
  unmonitor(request: AddressRequest): boolean;
  unmonitorRangeInSteps(request: RangeRequest): StepwiseCall<unknown>;
  unmonitorByForce(request: AddressRequest): boolean;
  unmonitorViewInSteps(view: number): StepwiseCall<unknown>;
  unmonitorAllInSteps(): StepwiseCall<unknown>;
  rootGoneInSteps(root: bigint, view?: number): StepwiseCall<unknown>;
  resyncInSteps(view?: number): StepwiseCall<unknown>;
}
