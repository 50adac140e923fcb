import type { FaultAt } from './fault-at.ts';

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

/** JSON of anything a monitor hands out, keys sorted and bigints in hex. */
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
  if (!equal(actual, expected)) {
    throw new Mismatch(rule, `${what()}: got ${text(actual)}, expected ${text(expected)}`);
  }
}

/** Whether plain values, lists and records are the same, however deep. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => key in b && equal(a[key as keyof typeof a], b[key as keyof typeof b]))
  );
}
