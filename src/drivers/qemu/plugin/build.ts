import { join } from 'node:path';
import { PtmonError } from '../../../core/error.ts';
import { isFolder } from '../../../driver/make-folder.ts';
import { compile } from '../native/compile.ts';

/**
 * Builds the plugin from the source in this package.
 *
 * @param file the shared object to make
 * @throws PtmonError `source-unavailable` where there is no C compiler, or it fails, with what it prints; `bad-argument` for a file that is a folder
 */
export async function buildPlugin(file: string): Promise<void> {
  if (isFolder(file))
    throw new PtmonError(
      'bad-argument',
      `${file} is a folder: give the file to make, as in ${join(file, 'ptmon-plugin.so')}`,
    );
  await compile('ptmon-plugin.c', file);
}
