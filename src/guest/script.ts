/** The global scope of a script that `ptmon script` runs, for editors: `/// <reference types="ptmon/script" />`. */
import type { Guest } from './guest.ts';

declare global {
  /** The guest that the command line names. */
  var guest: Guest;
  /** What follows `--` on the command line. */
  var args: readonly string[];
}

/** Set where a script runs: `guest` and `args` are in scope. */
export const hasGuest = 'guest' in globalThis;
