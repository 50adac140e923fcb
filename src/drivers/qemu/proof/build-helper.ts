/** The program that asks the kernel for written pages (`native/written-pages.c`): compiled where it is needed. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { PtmonError } from '../../../core/error.ts';
import { compile } from '../native/compile.ts';

/** The path of one that was compiled elsewhere. */
const BUILT = 'PTMON_WRITTEN_PAGES';

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
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-native-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const path = join(folder, 'written-pages');
  try {
    await compile('written-pages.c', path);
    return { path, remove };
  } catch (cause) {
    remove();
    const what = `${(cause as Error).message}; or compile native/written-pages.c elsewhere, and set ${BUILT} to its path`;
    throw new PtmonError('source-unavailable', what, {}, { cause });
  }
}
