import { describe, expect, test } from 'vitest';
import { ENGINE_NAMES, ENGINES } from './engine.ts';
import { failureOf, type ProofName } from './prove.ts';
import { REGRESSIONS } from './regressions.ts';

const PROOFS: readonly ProofName[] = ['once', 'again', 'remote', 'faults'];

describe.each(ENGINE_NAMES)('P1, P2 programs that once failed, %s', (engine) => {
  test.each(Object.keys(REGRESSIONS))('%s', (name) => {
    for (const proof of PROOFS)
      expect(failureOf(REGRESSIONS[name]!, proof, { make: ENGINES[engine] })?.message).toBeUndefined();
  });
});
