/** The program that asks the kernel for written pages (`native/written-pages.c`): compiled where it is needed, by the machine's compiler. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { PtmonError } from '../../../core/error.ts';

const SOURCE = 'native/written-pages.c';
/** The path of one that was compiled elsewhere. */
const BUILT = 'PTMON_WRITTEN_PAGES';
const COMPILER_TIMEOUT_MS = 60_000;

export interface BuiltHelper {
  readonly path: string;
  /** Once it runs, nothing is left of it in the file system. */
  remove(): void;
}

/**
 * Compiles it into a folder of this process alone. It is to run as root: a cache that another user could write to would be a way in.
 *
 * @throws PtmonError `source-unavailable` where there is no compiler, or it fails
 */
export async function buildHelper(): Promise<BuiltHelper> {
  const built = process.env[BUILT] ?? '';
  if (built !== '') return { path: built, remove: () => {} };
  const source = sourcePath();
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-native-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const path = join(folder, 'written-pages');
  try {
    await promisify(execFile)('cc', ['-O2', '-o', path, source], { timeout: COMPILER_TIMEOUT_MS });
    return { path, remove };
  } catch (error) {
    remove();
    const { code, stderr = '' } = error as { code?: unknown; stderr?: string };
    throw new PtmonError(
      'source-unavailable',
      code === 'ENOENT'
        ? `there is no C compiler: install one (apt-get install gcc libc6-dev), or compile ${SOURCE} elsewhere and give its path as ${BUILT}`
        : `cc does not compile ${source}: ${stderr.trim().split('\n')[0] ?? ''}`,
      {},
      { cause: error },
    );
  }
}

/** In the package, wherever this module was bundled to. */
function sourcePath(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const path = join(folder, SOURCE);
    if (existsSync(path)) return path;
    if (folder === dirname(folder)) throw new PtmonError('source-unavailable', `${SOURCE} is not in the package`);
  }
}
