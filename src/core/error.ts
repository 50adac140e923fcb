/** What went wrong, as a word that never changes; programs branch on it, people read the message. */
export type PtmonErrorCode =
  | 'bad-argument'
  | 'non-canonical'
  | 'not-fetched'
  | 'not-recorded'
  | 'no-such-view'
  | 'read-failed'
  | 'protect-failed'
  | 'restore-failed'
  | 'range-limit'
  | 'nested-call'
  | 'source-unavailable'
  | 'corrupt-input'
  | 'write-failed'
  | 'events-dropped'
  | 'closed';

/** The facts behind an error: whichever of them the place that failed knew. */
export interface PtmonErrorFacts {
  readonly va?: bigint;
  readonly root?: number;
  readonly view?: number;
  readonly vcpu?: number;
  readonly level?: number;
  readonly entryPa?: number;
  readonly gfn?: number;
  /** Byte of a file (`corrupt-input`). */
  readonly offset?: number;
  /** Physical addresses that must be fetched before the call can be made again (`not-fetched`). */
  readonly missing?: readonly number[];
}

/** The one error class of this package. Guest data never throws; bad calls and failing sources do. */
export class PtmonError extends Error {
  override readonly name = 'PtmonError';
  readonly code: PtmonErrorCode;
  readonly facts: PtmonErrorFacts;

  constructor(code: PtmonErrorCode, message: string, facts: PtmonErrorFacts = {}, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.facts = facts;
  }
}

/** Refuses options that nobody reads: a misspelt one would have no effect, without a word. @throws PtmonError `bad-argument` */
export function checkNames(call: string, options: object, known: readonly string[]): void {
  const strange = Object.keys(options).find((name) => !known.includes(name));
  if (strange === undefined) return;
  throw new PtmonError('bad-argument', `${call} has no option ${strange}: only ${known.join(', ')}`);
}

/** The message of whatever was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
