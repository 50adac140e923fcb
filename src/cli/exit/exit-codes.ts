/** The exit codes of the command. */
import { CommanderError } from 'commander';
import { PtmonError, type PtmonErrorCode } from '../../core/error.ts';

export const EXIT_OK = 0;
/** Any other failure: of the output, or of ptmon itself. */
export const EXIT_FAILED = 1;
/** The command line is wrong. */
export const EXIT_USAGE = 2;
/** The source cannot be reached, or was lost. */
export const EXIT_SOURCE = 3;
/** An input file is corrupt. */
export const EXIT_CORRUPT = 4;
/** The answer is correct but incomplete: page tables are missing, or nothing is mapped. */
export const EXIT_INCOMPLETE = 5;
/** Ctrl-C: 128 plus the number of the signal, as shells report it. */
export const EXIT_INTERRUPTED = 130;
export const EXIT_TERMINATED = 143;
/** Ctrl-\\. */
export const EXIT_QUIT = 131;
/** The terminal was closed. */
export const EXIT_HUNG_UP = 129;

const OF_ERROR: Partial<Record<PtmonErrorCode, number>> = {
  'bad-argument': EXIT_USAGE,
  'non-canonical': EXIT_USAGE,
  'no-such-view': EXIT_USAGE,
  'source-unavailable': EXIT_SOURCE,
  'read-failed': EXIT_SOURCE,
  'protect-failed': EXIT_SOURCE,
  'corrupt-input': EXIT_CORRUPT,
  'not-recorded': EXIT_USAGE,
};

export function exitCodeOf(error: unknown): number {
  // Commander throws, too, after it has printed help or the version.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_OK : EXIT_USAGE;
  return error instanceof PtmonError ? (OF_ERROR[error.code] ?? EXIT_FAILED) : EXIT_FAILED;
}
