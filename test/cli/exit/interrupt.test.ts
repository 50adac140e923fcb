import { afterEach, describe, expect, test, vi } from 'vitest';
import { catchInterrupts, type Interrupt } from '../../../src/cli/exit/interrupt.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
const before = SIGNALS.map((name) => process.listenerCount(name));
const listeners = () => SIGNALS.map((name, index) => process.listenerCount(name) - before[index]!);

let interrupt: Interrupt | undefined;
afterEach(() => interrupt?.release());

describe('the first signal asks, the second ends the process', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
    ['SIGQUIT', 131],
  ] as const)('%s', (name, exitCode) => {
    const exit = vi.spyOn(process, 'exit').mockReturnValue(undefined as never);
    interrupt = catchInterrupts();
    expect([interrupt.signal.aborted, interrupt.exitCode, listeners()]).toEqual([false, undefined, [1, 1, 1, 1]]);
    process.emit(name, name);
    expect([interrupt.signal.aborted, interrupt.exitCode, exit.mock.calls]).toEqual([true, exitCode, []]);
    // Whoever must let something go at the end of the process is still asked to: a default signal would not.
    process.emit('SIGINT', 'SIGINT');
    expect(exit.mock.calls).toEqual([[130]]);
    exit.mockRestore();
  });

  test('none, and the signals are given back', () => {
    interrupt = catchInterrupts();
    interrupt.release();
    expect([interrupt.signal.aborted, interrupt.exitCode, listeners()]).toEqual([false, undefined, [0, 0, 0, 0]]);
  });
});
