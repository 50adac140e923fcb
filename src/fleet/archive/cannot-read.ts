/** Why the system did not let a part of an archive be read. */
import { PtmonError } from '../../core/error.ts';

/** `source-unavailable`, which names the path; the error itself where it is not of the file system. */
export function cannotRead(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('syscall' in error)) return error;
  const { code = '', path: named = path } = error as NodeJS.ErrnoException;
  return unreadable(named, code, error);
}

/** @param why the system's words */
export function unreadable(path: string, why: string, cause: unknown): PtmonError {
  const message = `${path}: cannot be read (${why}): is its mount there?`;
  return new PtmonError('source-unavailable', message, {}, { cause });
}
