/** What is wrong with a folder that cannot be written to. */
import { PtmonError } from '../../core/error.ts';

/** A disk of which these are reported may be fit again later: the command fails in a way after which systemd starts it again. */
const TRANSIENT = new Set(['ENOSPC', 'EDQUOT', 'EIO', 'ESTALE', 'EMFILE', 'ENFILE']);

/** A PtmonError: `source-unavailable` where it may pass, else `bad-argument`. The error itself where it is not of the file system. */
export function cannotWrite(folder: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) return error;
  const kind = TRANSIENT.has(code) ? 'source-unavailable' : 'bad-argument';
  return new PtmonError(kind, `${folder}: cannot be written to (${code})`, {}, { cause: error });
}
