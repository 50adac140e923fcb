import { afterEach, describe, expect, test } from 'vitest';
import { catchInterrupts, type Interrupt } from '../../src/cli/interrupt.ts';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
const before = SIGNALS.map((name) => process.listenerCount(name));
const listeners = () => SIGNALS.map((name, index) => process.listenerCount(name) - before[index]!);

let interrupt: Interrupt | undefined;
afterEach(() => interrupt?.release());

describe('the first signal asks, the second kills', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s', (name, exitCode) => {
    interrupt = catchInterrupts();
    expect([interrupt.signal.aborted, interrupt.exitCode, listeners()]).toEqual([false, undefined, [1, 1]]);
    process.emit(name, name);
    // With nobody listening any more, the next one is what it is by default: the end of the process.
    expect([interrupt.signal.aborted, interrupt.exitCode, listeners()]).toEqual([true, exitCode, [0, 0]]);
  });

  test('none, and the signals are given back', () => {
    interrupt = catchInterrupts();
    interrupt.release();
    expect([interrupt.signal.aborted, interrupt.exitCode, listeners()]).toEqual([false, undefined, [0, 0]]);
  });
});
