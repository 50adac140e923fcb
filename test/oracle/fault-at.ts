/** `late`: the access is set, and the call fails afterwards. */
export type SourceCall = 'read' | 'get' | 'set' | 'late';

/** The `nth` time that the call numbered `at` asks the source for `call`, the source fails. */
export interface FaultAt {
  readonly at: number;
  readonly call: SourceCall;
  readonly nth: number;
  /** For how many calls to the monitor the source goes on failing; 0: once, and the failed call is made again. */
  readonly lasting: number;
}
