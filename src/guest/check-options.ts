import { checkNames, PtmonError } from '../core/error.ts';

/** A word of `typeof`, or `array`; an option of `any` type is checked where it is used. */
export type OptionTypes = Readonly<
  Record<string, 'any' | 'array' | 'bigint' | 'boolean' | 'function' | 'number' | 'object' | 'string'>
>;

/**
 * Checks what a script gives as the options of a call: a misspelt one would have no effect, without a word.
 *
 * @throws PtmonError `bad-argument`
 */
export function checkOptions(call: string, options: unknown, types: OptionTypes): void {
  const known = Object.keys(types);
  if (typeof options !== 'object' || options === null)
    throw new PtmonError('bad-argument', `${call}: the options are ${String(options)}: give { ${known.join(', ')} }`);
  checkNames(call, options, known);
  for (const [name, value] of Object.entries(options)) {
    const type = types[name]!;
    const isOfType = type === 'array' ? Array.isArray(value) : type === 'any' || typeof value === type;
    if (value === undefined || (value !== null && isOfType)) continue;
    throw new PtmonError('bad-argument', `${call}: ${name} is ${String(value)}: it takes the type ${type}`);
  }
}
