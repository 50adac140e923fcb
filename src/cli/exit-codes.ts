/** What the command answers to the shell. */
import { CommanderError } from 'commander';
import { PtmonError, type PtmonErrorCode } from '../core/error.ts';

export const EXIT_OK = 0;
/** Something failed that no other code names: the output, or ptmon itself. */
export const EXIT_FAILED = 1;
/** The command line is wrong. */
export const EXIT_USAGE = 2;
/** The source cannot be reached, or was lost. */
export const EXIT_SOURCE = 3;
/** A file is not what it should be. */
export const EXIT_CORRUPT = 4;
/** The answer is right and leaves out what could not be looked at, or there is nothing where there must be something. */
export const EXIT_INCOMPLETE = 5;
/** Ctrl-C: 128 and the number of the signal, as shells have it. */
export const EXIT_INTERRUPTED = 130;
export const EXIT_TERMINATED = 143;
/** Ctrl-\\. */
export const EXIT_QUIT = 131;
/** The terminal is gone. */
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
  // Commander ends the same way when it has shown help or the version as was asked.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_OK : EXIT_USAGE;
  return error instanceof PtmonError ? (OF_ERROR[error.code] ?? EXIT_FAILED) : EXIT_FAILED;
}
