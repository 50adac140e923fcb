import { PtmonError } from '../core/error.ts';

/**
 * Checks what a script gives as the options of a call: a misspelt one would have no effect, without a word.
 *
 * @throws PtmonError `bad-argument`
 */
export function checkOptions(call: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null)
    throw new PtmonError('bad-argument', `${call}: the options are ${String(options)}: give { ${known.join(', ')} }`);
  const strange = Object.keys(options).find((name) => !known.includes(name));
  if (strange === undefined) return;
  throw new PtmonError('bad-argument', `${call} has no option ${strange}: only ${known.join(', ')}`);
}
