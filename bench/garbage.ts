/** A full garbage collection on request, without a command-line flag: the profile and the guard run in plain processes. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

/** Until nothing more goes: what one collection finds dead may be freed by the next one, array buffers last. */
export function collectGarbage(): void {
  for (let round = 0; round < 4; round++) gc();
}
