import { CommanderError } from 'commander';
import { expect, test } from 'vitest';
import { exitCodeOf } from '../../../src/cli/exit/exit-codes.ts';
import { PtmonError, type PtmonErrorCode } from '../../../src/core/error.ts';

const ofCode: Record<PtmonErrorCode, number> = {
  'bad-argument': 2,
  'non-canonical': 2,
  'no-such-view': 2,
  'source-unavailable': 3,
  'read-failed': 3,
  'protect-failed': 3,
  'corrupt-input': 4,
  'not-recorded': 2,
  'not-fetched': 1,
  'write-failed': 1,
  'restore-failed': 1,
  'range-limit': 1,
  'nested-call': 1,
  closed: 1,
  'events-dropped': 1,
};

test.each(Object.entries(ofCode))('%s exits with %i', (code, expected) => {
  expect(exitCodeOf(new PtmonError(code as PtmonErrorCode, 'it fails'))).toBe(expected);
});

test.each([
  ['a wrong command line', new CommanderError(1, 'commander.unknownOption', 'unknown'), 2],
  ['help that was asked for', new CommanderError(0, 'commander.helpDisplayed', ''), 0],
  ['a bug', new TypeError('undefined is not a function'), 1],
  ['a full disk', Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' }), 1],
  ['something odd', 'a string', 1],
])('%s exits with its code', (_, error, expected) => {
  expect(exitCodeOf(error)).toBe(expected);
});
