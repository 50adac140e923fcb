/** What a test on a real guest needs, and what is said where it is missing. */
import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { PtmonError } from '../../src/core/error.ts';
import { findQemu } from '../../src/drivers/qemu/launch/find-qemu.ts';
import { BUILD_SCRIPT, chooseKernel, findPrograms } from '../../src/drivers/qemu/launch/guest-files.ts';
import type { LaunchOptions } from '../../src/drivers/qemu/launch/launch.ts';

/** The guests that hooks of a script are tested on. */
export const MACHINES: readonly (readonly [name: string, options: LaunchOptions])[] = [
  ['one vCPU', { cpu: 'max,la57=off' }],
  ['page-table isolation, two vCPUs', { cpu: 'Skylake-Server', smp: 2 }],
];

/** With PTMON_LIVE=required a machine that lacks something fails its tests instead of leaving them out. */
const REQUIRED = process.env['PTMON_LIVE'] === 'required';

/** Why there can be no guest on this machine; undefined where there can. */
function whatIsMissing(): string | undefined {
  const missing = [findQemu, chooseKernel, findPrograms].flatMap((find) => {
    try {
      find();
      return [];
    } catch (error) {
      if (error instanceof PtmonError) return [error.message];
      throw error;
    }
  });
  if (missing.length > 0) return missing.join('\n  ');
  // A workload from before the last change of its sources would fail tests that it has nothing to do with.
  const { status, stderr } = spawnSync(process.execPath, [BUILD_SCRIPT, '--no-kernel'], { encoding: 'utf8' });
  return status === 0 ? undefined : stderr;
}

/**
 * Returns whether this host lacks what the tests need, and prints what that is and how to get it.
 *
 * @param need returns what the tests need besides a guest and do not find
 * @throws where PTMON_LIVE=required and something is missing
 */
export function leftOut(tests: string, need: () => string | undefined = () => undefined): boolean {
  const missing = whatIsMissing() ?? need();
  if (missing === undefined) return false;
  if (REQUIRED) throw new Error(`${tests} cannot run: ${missing}`);
  process.stderr.write(`LEFT OUT: ${tests}\n  ${missing}\n`);
  return true;
}
