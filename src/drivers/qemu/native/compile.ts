/** Compiles the C sources of this package (`native/`) with the machine's compiler. They need nothing of QEMU. */
import { execFile } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { PtmonError } from '../../../core/error.ts';

/** The arguments that each source needs. */
const ARGUMENTS = {
  'ptmon-plugin.c': ['-shared', '-fPIC', '-fvisibility=hidden', '-lpthread'],
  'written-pages.c': [],
} as const;

/** The compiler that is used where `CC` names none. */
const COMPILER = 'cc';
const TIMEOUT_MS = 60_000;

/**
 * @param file to make
 * @throws PtmonError `source-unavailable` where there is no C compiler, or it fails, with what it prints
 */
export async function compile(name: keyof typeof ARGUMENTS, file: string): Promise<void> {
  const source = fileURLToPath(new URL(`../../../../native/${name}`, import.meta.url));
  const compiler = process.env['CC'] || COMPILER;
  const args = ['-O2', '-o', file, source, ...ARGUMENTS[name]];
  try {
    await promisify(execFile)(compiler, args, { timeout: TIMEOUT_MS });
  } catch (cause) {
    const { code, stderr = '', message } = cause as { code?: unknown; stderr?: string; message: string };
    const what =
      code === 'ENOENT'
        ? `there is no C compiler (${compiler}): install one (apt-get install gcc libc6-dev), or name one in CC`
        : `${[compiler, ...args].join(' ')} failed: ${stderr.trim() || message}`;
    throw new PtmonError('source-unavailable', what, {}, { cause });
  }
}
