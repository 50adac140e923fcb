/** The QEMU program on this machine. */
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { PtmonError } from '../../../core/error.ts';
import { notAFile, openError } from '../../../driver/input-file.ts';

const PROGRAM = 'qemu-system-x86_64';

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** The first program of this name on the PATH. */
function onPath(name: string, env: NodeJS.ProcessEnv): string | undefined {
  const folders = (env['PATH'] ?? '').split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, name)).find(executable);
}

/**
 * The path of QEMU for x86-64 guests: `chosen`, a path or a name on the PATH, else the usual name.
 *
 * @throws PtmonError `source-unavailable` where there is none; the message names the package to install
 */
export function findQemu(chosen?: string, env: NodeJS.ProcessEnv = process.env): string {
  const path = chosen?.includes('/') === true ? chosen : onPath(chosen ?? PROGRAM, env);
  if (path !== undefined && executable(path)) return path;
  if (chosen !== undefined) throw notAProgram(chosen);
  throw new PtmonError(
    'source-unavailable',
    `QEMU is not installed: there is no ${PROGRAM} on the PATH. On Debian and Ubuntu it is in the package qemu-system-x86 ` +
      '(apt-get install qemu-system-x86).',
  );
}

/** Why what was chosen cannot be run. */
function notAProgram(chosen: string): PtmonError {
  if (!chosen.includes('/'))
    return new PtmonError('source-unavailable', `${chosen}: there is no such program on the PATH`);
  try {
    if (!statSync(chosen).isFile()) return notAFile(chosen);
  } catch (error) {
    return openError(chosen, error);
  }
  return new PtmonError('source-unavailable', `${chosen} is not executable: chmod +x makes it so`);
}
