/** Faults of the guest's memory are part of reading it: there are as many as words that are tried as pointers. */
import { expect, test } from 'vitest';
import { GuestFault } from '../../src/linux/memory/guest-fault.ts';

test('a fault takes no stack trace, and leaves those of errors as they are', () => {
  const { stackTraceLimit } = Error;
  expect(new GuestFault('leads nowhere').stack).toBe('GuestFault: leads nowhere');
  expect(Error.stackTraceLimit).toBe(stackTraceLimit);
  expect(new Error('other').stack).toContain('\n    at ');
});
