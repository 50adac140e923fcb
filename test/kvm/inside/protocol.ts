/** What goes to and fro between the tests and the process that is where the KVM is. */

export interface CallRequest {
  readonly id: number;
  /** A name of `CALLS`, or `end`. */
  readonly call: string;
  readonly options: object;
}

export type CallReply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string };
