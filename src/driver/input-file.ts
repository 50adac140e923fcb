/** Why a file cannot be opened for reading: in the same words, whatever kind of file is expected. */
import { PtmonError } from '../core/error.ts';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist',
  EACCES: 'cannot be opened (EACCES): run as a user who may read it',
  EPERM: 'cannot be opened (EPERM): run as a user who may read it',
};

/** `/vm.core does not exist`. @param path as the message is to name the file */
export function openError(path: string, error: unknown): PtmonError {
  const code = systemCode(error);
  const reason = REASONS[code] ?? `cannot be opened (${code})`;
  return new PtmonError('source-unavailable', `${path === '' ? '""' : path} ${reason}`, {}, { cause: error });
}

/** The system's word for an error: `ENOSPC`, `EIO`. */
export function systemCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

/** For folders, pipes and devices. */
export function notAFile(path: string): PtmonError {
  return new PtmonError('source-unavailable', `${path} is not a file`);
}
