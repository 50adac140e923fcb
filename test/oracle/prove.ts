/** One program put to every proof there is (P1, P2); what the fuzzer and the tests share. */
import { PAGING_MODES, type PagingModeName } from '../../src/core/paging/modes.ts';
import type { FaultAt, SourceCall } from './fault-at.ts';
import { generate } from './generate.ts';
import { Mismatch, same } from './mismatch.ts';
import { printProgram, type Program } from './program.ts';
import { Random } from './random.ts';
import { type RunResult, runProgram } from './run.ts';
import { shrink } from './shrink.ts';
import type { MakeSubject } from './subject.ts';

export const MODES = Object.keys(PAGING_MODES) as PagingModeName[];

/**
 * - `once`: beside the oracle (P1).
 * - `again`: the same calls give the same events, byte for byte (E7).
 * - `remote`: memory that must be fetched first gives the same.
 * - `faults`: every call to the source fails in turn, once, and for a while (P2).
 */
export type ProofName = 'once' | 'again' | 'remote' | 'faults';

export interface Counts {
  programs: number;
  ops: number;
  events: number;
  faults: number;
}

export const noCounts = (): Counts => ({ programs: 0, ops: 0, events: 0, faults: 0 });

export interface Failure {
  readonly mode: PagingModeName;
  readonly seed: number;
  readonly proof: ProofName;
  readonly message: string;
  readonly program: string;
}

/** At most so many faults for one program, spread over all that there are; fewer where one run is much work. */
const MAX_FAULTS = 60;
const MAX_FAULT_WORK = 100_000;

/** Makes up a program, puts it to the proofs, adds to `counts`; the failure, shrunk, or undefined. */
export function proveSeed(
  { mode, seed }: { readonly mode: PagingModeName; readonly seed: number },
  proofs: readonly ProofName[],
  make: MakeSubject,
  counts: Counts,
): Failure | undefined {
  const program = generate(seed, mode);
  for (const proof of proofs) {
    const failure = failureOf(program, proof, { make, counts });
    if (failure === undefined) continue;
    const { fault } = failure;
    const shrunk = shrink(program, failure, (candidate) => failureOf(candidate, proof, { make, like: fault }));
    return { mode, seed, proof, message: shrunk.failure.message, program: printProgram(shrunk.program) };
  }
  counts.programs += 1;
  return undefined;
}

export function describeFailure({ mode, seed, proof, message, program }: Failure): string {
  return `${message}\nproof "${proof}" of mode ${mode}, seed ${seed}; shrunk to\n${program}`;
}

interface ProofOptions {
  readonly make: MakeSubject;
  readonly counts?: Counts;
  /** Of all faults only those like this one. */
  readonly like?: FaultAt | undefined;
}

/** What goes wrong when the program is put to the proof; undefined where nothing does. */
export function failureOf(
  program: Program,
  proof: ProofName,
  { make, counts = noCounts(), like }: ProofOptions,
): Mismatch | undefined {
  try {
    PROOFS[proof](program, make, counts, like);
    return undefined;
  } catch (error) {
    if (error instanceof Mismatch) return error;
    return new Mismatch('C8', String((error as Error).stack), { cause: error });
  }
}

type Prove = (program: Program, make: MakeSubject, counts: Counts, like: FaultAt | undefined) => void;

const PROOFS: Readonly<Record<ProofName, Prove>> = {
  once(program, make, counts) {
    count(runProgram(program, { make }), counts);
  },
  again(program, make, counts) {
    const { log } = runProgram(program, { make });
    const second = runProgram(program, { make });
    count(second, counts);
    same('E7', second.log, log, () => 'events of the second run');
  },
  remote(whole, make, counts) {
    const program = withoutTrapsWithin(whole);
    const { log } = runProgram(program, { make });
    const remote = runProgram(program, { make, remote: true });
    count(remote, counts);
    same('C9', remote.log, log, () => 'events where memory must be fetched');
  },
  faults(whole, make, counts, like) {
    const program = withoutTrapsWithin(whole);
    const clean = runProgram(program, { make });
    for (const fault of faultsOf(clean, program.end, like)) {
      count(runFaulty(program, make, fault, clean), counts);
      counts.faults += 1;
    }
  },
};

/** What happens in the middle of a call happens elsewhere, where that call fails and is made again. */
function withoutTrapsWithin(program: Program): Program {
  return { ...program, ops: program.ops.filter(({ k }) => k !== 'within') };
}

function runFaulty(program: Program, make: MakeSubject, fault: FaultAt, clean: RunResult): RunResult {
  try {
    const faulty = runProgram(program, { make, fault });
    // A failed call that was made again must leave no trace in what is said; one that never happened changes the story.
    // Where access was not restored, a write still traps, and its processing has nothing to say.
    const said = ({ log }: RunResult) => log.filter((events) => events !== '[]');
    if (fault.lasting === 0) same('C9', said(faulty), said(clean), () => 'events after a failure');
    return faulty;
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    error.fault = fault;
    throw error.at(`with fault ${JSON.stringify(fault)}`);
  }
}

/** Every place where a source can fail, or where there are too many, some of them. */
function faultsOf({ sourceCalls, work }: RunResult, seed: number, like?: FaultAt): FaultAt[] {
  const all: FaultAt[] = [];
  sourceCalls.forEach((calls, at) => {
    for (const call of ['read', 'get', 'set', 'late'] as SourceCall[]) {
      for (let nth = 0; nth < calls[call]; nth++) {
        const lasting = like?.lasting || [1, 4, 1000][(at + nth) % 3]!;
        all.push({ at, call, nth, lasting: 0 });
        if (call === 'set' || call === 'late' || nth === 0) all.push({ at, call, nth, lasting });
      }
    }
  });
  const faults = all.filter(
    ({ call, lasting }) => like === undefined || (call === like.call && lasting === like.lasting),
  );
  const random = new Random(seed);
  const limit = Math.max(3, Math.min(MAX_FAULTS, Math.floor(MAX_FAULT_WORK / (work + 1))));
  while (faults.length > limit) {
    faults.splice(random.below(faults.length), Math.max(1, Math.floor(faults.length / 64)));
  }
  return faults;
}

function count(result: RunResult, counts: Counts): void {
  counts.ops += result.ops;
  counts.events += result.events;
}
