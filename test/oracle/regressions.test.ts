import { describe, expect, test } from 'vitest';
import { engine } from './engine.ts';
import { failureOf, type ProofName } from './prove.ts';
import { REGRESSIONS } from './regressions.ts';

const PROOFS: readonly ProofName[] = ['once', 'again', 'remote', 'faults'];

describe('P1, P2 programs that once failed', () => {
  test.each(Object.keys(REGRESSIONS))('%s', (name) => {
    for (const proof of PROOFS) expect(failureOf(REGRESSIONS[name]!, proof, engine)?.message).toBeUndefined();
  });
});
