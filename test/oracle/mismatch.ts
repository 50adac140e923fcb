import type { FaultAt } from './attempts.ts';

/** The monitor and the oracle disagree, under the rule that says who is right. */
export class Mismatch extends Error {
  override readonly name = 'Mismatch';
  readonly rule: string;
  readonly detail: string;
  /** The injected fault, where one was. */
  fault: FaultAt | undefined;

  constructor(rule: string, detail: string, options?: { cause?: unknown }) {
    super(`${rule}: ${detail}`, options);
    this.rule = rule;
    this.detail = detail;
  }

  /** The same, and where it was. */
  at(place: string): Mismatch {
    const placed = new Mismatch(this.rule, `${this.detail}\n  ${place}`, { cause: this.cause });
    placed.fault = this.fault;
    return placed;
  }
}

/** JSON of anything a monitor hands out, keys sorted and bigints in hex, so that equal texts mean equal content. */
export function text(value: unknown): string {
  return (
    JSON.stringify(value, (_key, part: unknown) => {
      if (typeof part === 'bigint') return `0x${part.toString(16)}`;
      if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
      return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
    }) ?? 'undefined'
  );
}

/** Fails under `rule` unless both are the same, however deep. `what` is only asked for on failure. */
export function same(rule: string, actual: unknown, expected: unknown, what: () => string): void {
  if (actual === expected) return;
  const [a, e] = [text(actual), text(expected)];
  if (a !== e) throw new Mismatch(rule, `${what()}: got ${a}, expected ${e}`);
}
