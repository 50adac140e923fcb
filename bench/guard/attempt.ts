/**
 * One attempt of the guard, in a process of its own: each row in slices of about a millisecond, a slice of its reference
 * before each. The fastest slice of either counts: no scheduler takes all of them away, and both had the same luck.
 */
import process from 'node:process';
import { ENGINES } from '../engines.ts';
import { rowNamed, type RateRow } from '../rows.ts';
import type { Work } from '../rows/work.ts';
import { World } from '../world.ts';
import { planted } from './planted.ts';
import { makeReference } from './references.ts';
import { GUARDED, type GuardedRow, type Ratios } from './verdict.ts';

const SLICES = 30;
const WARM_UP_SLICES = 50;

/** How fast the engine is at this row, where its reference is 1. */
function ratioOf({ row, reference: kind, roundWrites }: GuardedRow, loss: number): number {
  const { begin, layouts } = rowNamed(row) as RateRow;
  const setting = { world: new World(layouts['1k']!), makeEngine: ENGINES.ptmon, roundWrites, collects: false };
  const work = loss > 0 ? planted(begin, setting, loss) : begin(setting);
  const reference = makeReference(kind);
  let [own, other] = [Infinity, Infinity];
  for (let slice = -WARM_UP_SLICES; slice < SLICES; slice++) {
    const [otherNow, ownNow] = [msPerOperation(reference), msPerOperation(work)];
    if (slice < 0) continue;
    other = Math.min(other, otherNow);
    own = Math.min(own, ownNow);
  }
  return other / own;
}

function msPerOperation(work: Work): number {
  work.prepare();
  const start = performance.now();
  const operations = work.run();
  return (performance.now() - start) / operations;
}

const loss = Number(process.argv[2] ?? 0);
const ratios: Ratios = Object.fromEntries(GUARDED.map((guarded) => [guarded.row, ratioOf(guarded, loss)]));
process.stdout.write(`${JSON.stringify(ratios)}\n`);
