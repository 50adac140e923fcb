/** Builds the plugin from the source in this package. It needs a C compiler, and nothing of QEMU. */
import { spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { PtmonError } from '../../../core/error.ts';

export const PLUGIN_SOURCE: string = fileURLToPath(new URL('../../../../native/ptmon-plugin.c', import.meta.url));

/** The compiler that is used where `CC` names none. */
const COMPILER = 'cc';
const FLAGS = ['-shared', '-fPIC', '-O2', '-fvisibility=hidden'];

/** The command line that builds the plugin. */
export function buildCommand(file: string): readonly [compiler: string, ...args: string[]] {
  const { CC: compiler = COMPILER } = process.env;
  return [compiler === '' ? COMPILER : compiler, ...FLAGS, '-o', file, PLUGIN_SOURCE, '-lpthread'];
}

/**
 * @param file the shared object to make
 * @throws PtmonError `source-unavailable` where there is no C compiler, or it fails, with what it says; `bad-argument` for a file that is a folder
 */
export async function buildPlugin(file: string): Promise<void> {
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory() === true)
    throw new PtmonError(
      'bad-argument',
      `${file} is a folder: give the file to make, as in ${join(file, 'ptmon-plugin.so')}`,
    );
  const [compiler, ...args] = buildCommand(file);
  const child = spawn(compiler, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4000);
  });
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', (cause) => reject(noCompiler(compiler, cause)));
    child.on('close', resolve);
  });
  if (status === 0) return;
  throw new PtmonError(
    'source-unavailable',
    `${[compiler, ...args].join(' ')} failed (${status ?? 'a signal'}): ${said.trim()}`,
  );
}

function noCompiler(compiler: string, cause: Error): PtmonError {
  const what = `the plugin needs a C compiler, and ${compiler} cannot be started (${cause.message})`;
  return new PtmonError('source-unavailable', `${what}: install gcc, or name another one in CC`, {}, { cause });
}
