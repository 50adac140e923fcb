/** Values of options, refused with what would be right. */
import { InvalidArgumentError } from 'commander';
import type { OptInKind } from '../core/monitor/events.ts';
import type { PagingModeName } from '../core/paging/modes.ts';

export const OPT_IN_KINDS = ['protection', 'restructure', 'root-gone'] as const satisfies readonly OptInKind[];
export const PAGING_MODES = ['4-level', '5-level', 'pae', '32-bit'] as const satisfies readonly PagingModeName[];
/** Ways to read a live guest's memory. */
export const MEMORY_WAYS = ['auto', 'file', 'process', 'gdb'] as const;

/** Decimal digits only: `1e3`, `0x10` and ` 7` are more likely a slip than a number. */
export function wholeNumber(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (!/^\d+$/.test(value) || number < min || number > max) {
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    }
    return number;
  };
}

/** A decimal number above 0. */
export function positiveNumber(value: string): number {
  const number = Number(value);
  if (!/^\d+(\.\d+)?$/.test(value) || !(number > 0)) throw new InvalidArgumentError('It must be a number above 0.');
  return number;
}

/** Some of these words, separated by commas. */
export function listOf<T extends string>(words: readonly T[]): (value: string) => T[] {
  return (value) => {
    const given = [...new Set(value.split(',').map((word) => word.trim()))];
    const unknown = given.filter((word) => !words.includes(word as T));
    if (unknown.length > 0)
      throw new InvalidArgumentError(`It must be some of ${words.join(',')}, separated by commas.`);
    return given as T[];
  };
}
