/** The tests of one mode: random programs with fixed seeds, so that every run is the same run. `PTMON_PROGRAMS`: how many. */
import { describe, expect, test } from 'vitest';
import type { PagingModeName } from '../../src/core/paging/modes.ts';
import { ENGINE_NAMES, ENGINES } from './engine.ts';
import { describeFailure, noCounts, type ProofName, proveSeed } from './prove.ts';
import { programSeed } from './random.ts';

const RUN_SEED = 20261122;
const PROGRAMS = Number(process.env['PTMON_PROGRAMS'] ?? 600);
const TIMEOUT_MS = 600_000;

/** For every so many programs that run once, one is put to the other proofs. */
const PROOFS: readonly (readonly [title: string, proof: ProofName, share: number])[] = [
  ['P1 the monitor and the oracle agree after every operation', 'once', 1],
  ['E7 the same calls give the same events', 'again', 10],
  ['C9 memory that must be fetched first gives the same events', 'remote', 5],
  ['P2 every call to the source fails in turn, and nothing is lost or leaked', 'faults', 50],
];

export function describePrograms(mode: PagingModeName): void {
  describe.each(ENGINE_NAMES)(`random programs in ${mode} paging, %s`, (name) => {
    test.each(PROOFS)(
      '%s',
      (_title, proof, share) => {
        const programs = Math.ceil(PROGRAMS / share);
        const counts = noCounts();
        for (let index = 0; index < programs; index++) {
          const seed = programSeed(RUN_SEED, index * share + MODE_SEEDS[mode]);
          const failure = proveSeed({ mode, seed }, [proof], ENGINES[name], counts);
          if (failure !== undefined) throw new Error(describeFailure(failure));
        }
        console.log(
          `${mode} ${proof} ${name}: seed ${RUN_SEED}, ${programs} programs, ${counts.ops} operations, ${counts.events} events` +
            (counts.faults > 0 ? `, ${counts.faults} faults` : ''),
        );
        expect(counts.programs).toBe(programs);
        // A handful of programs may be one that says nothing; more are not.
        if (programs >= 10) expect(counts.events).toBeGreaterThan(0);
      },
      TIMEOUT_MS,
    );
  });
}

/** Modes differ in more than their seeds, and still: no two run the same shapes. */
const MODE_SEEDS: Readonly<Record<PagingModeName, number>> = {
  '4-level': 1_000_000,
  '5-level': 2_000_000,
  pae: 3_000_000,
  '32-bit': 4_000_000,
};
