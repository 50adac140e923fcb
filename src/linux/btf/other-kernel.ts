/** Whether types from a file are of another kernel of the same size: such a one has functions that this kernel has not. */
import type { Steps } from '../memory/steps.ts';
import type { SymbolTable } from '../symbols/symbol-table.ts';
import type { Btf } from './btf.ts';
import { KIND } from './kinds.ts';

/** One function of so many may have no symbol: without CONFIG_KALLSYMS_ALL, those of `.exit.text` have none (3 of 1,000). */
const MISSING_OF = 200;
const TYPES_PER_STEP = 64;

/** What its functions say against it, human-readable; undefined where nothing does. */
export function* foreignFunctions(btf: Btf, symbols: SymbolTable): Steps<string | undefined> {
  yield* symbols.prepare();
  let [all, missing, example] = [0, 0, ''];
  for (let type = 1; type < btf.typeCount; type++) {
    if (type % TYPES_PER_STEP === 0) yield;
    if (btf.kindOf(type) !== KIND.function) continue;
    all++;
    const name = btf.nameOf(type);
    if (symbols.find(name) !== undefined) continue;
    missing++;
    if (example === '' || example.includes('exit')) example = name;
  }
  return missing * MISSING_OF <= all
    ? undefined
    : `of their ${all} functions this kernel has no ${missing}, as ${example}`;
}
