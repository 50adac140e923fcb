import { describe, expect, test } from 'vitest';
import { BY_HAND, ordersOf } from './by-hand.ts';
import { ENGINE_NAMES, ENGINES } from './engine.ts';
import { failureOf } from './prove.ts';
import { printProgram } from './program.ts';

describe.each(ENGINE_NAMES)('P1 guests written by hand, %s', (engine) => {
  test.each(Object.keys(BY_HAND))('%s', { timeout: 120_000 }, (name) => {
    for (const program of ordersOf(BY_HAND[name]!)) {
      const failure = failureOf(program, 'once', { make: ENGINES[engine] });
      expect(failure?.message, failure && printProgram(program)).toBeUndefined();
    }
  });
});
