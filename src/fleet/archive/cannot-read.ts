/** Why the system did not let a part of an archive be read. */
import { PtmonError } from '../../core/error.ts';

/** `source-unavailable`, which names the path; the error itself where it is not of the file system. */
export function cannotRead(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('syscall' in error)) return error;
  const { code = '', path: named = path } = error as NodeJS.ErrnoException;
  return unreadable(named, code, error);
}

/** The error of read(2), which does not say of which file it is. */
export function withPath(path: string, error: unknown): unknown {
  if (error instanceof Error && !('path' in error))
    Object.assign(error, { path, message: `${error.message} '${path}'` });
  return error;
}

/** @param why the system's words */
export function unreadable(path: string, why: string, cause: unknown): PtmonError {
  const what = /^(EACCES|EPERM|Permission denied)/.test(why)
    ? 'run as a user who may read it'
    : 'if it is on a mount, its store cannot be reached, or has lost it';
  return new PtmonError('source-unavailable', `${path}: cannot be read (${why}): ${what}`, {}, { cause });
}
