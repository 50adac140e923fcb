/** The programs of bench/ as they are run: compiled. `npm test` has compiled them; `npx tsc -b bench` does. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param program below build/bench */
export function runBuilt(program: string, args: readonly string[], cwd = process.cwd()): Ended {
  const path = join(import.meta.dirname, '../../build/bench', program);
  const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...args], { encoding: 'utf8', cwd });
  return { code: status, stdout, stderr };
}
