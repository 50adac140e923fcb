/** Makes folders. */
import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Makes a folder and those above it; one that exists is left as it is. Node's own `recursive` never returns where a file system refuses a
 * folder by ENOENT, as /proc does.
 *
 * @throws the error of mkdir(2)
 */
export function makeFolder(path: string): void {
  // resolve('') would be the current folder.
  const folder = path === '' ? path : resolve(path);
  if (isFolder(folder)) return;
  try {
    mkdirSync(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Another process has just made it.
    if (code === 'EEXIST' && isFolder(folder)) return;
    if (code !== 'ENOENT' || isFolder(dirname(folder))) throw error;
    makeFolder(dirname(folder));
    makeFolder(folder);
  }
}

/** Whether there is a folder at this path; false where there is nothing. */
export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Whether a path is a device, which may have no end: /dev/zero. Not a pipe, as which a shell passes the output of a program. */
export function isDevice(path: string): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats?.isCharacterDevice() === true || stats?.isBlockDevice() === true;
}
