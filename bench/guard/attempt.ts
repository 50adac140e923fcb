/**
 * One attempt of the guard, in a process of its own: each row in slices of about a millisecond, in turn by the engine and by the
 * baseline. The fastest slice of either counts: no scheduler takes all of them away, and both had the same machine.
 */
import process from 'node:process';
import type { MakeEngine } from '../engines.ts';
import { rowNamed, type RateRow } from '../rows.ts';
import type { Work } from '../rows/work.ts';
import { World } from '../world.ts';
import { BASELINE, CURRENT, engineOf } from './bundle.ts';
import { planted } from './planted.ts';
import { GUARDED, type GuardedRow, type Ratios } from './verdict.ts';

const SLICES = 30;
const WARM_UP_SLICES = 50;

const loss = Number(process.argv[2] ?? 0);
const [makeBaseline, makeCurrent] = [await engineOf(BASELINE), await engineOf(CURRENT)];

/** How fast the engine is at this row, where the baseline is 1. */
function ratioOf({ row, roundWrites }: GuardedRow): number {
  const { begin, layouts } = rowNamed(row) as RateRow;
  const settingOf = (makeEngine: MakeEngine) => {
    return { world: new World(layouts['1k']!), makeEngine, roundWrites, collects: false };
  };
  const work = loss > 0 ? planted(begin, settingOf(makeCurrent), loss) : begin(settingOf(makeCurrent));
  const baseline = begin(settingOf(makeBaseline));
  let [own, other] = [Infinity, Infinity];
  for (let slice = -WARM_UP_SLICES; slice < SLICES; slice++) {
    const [otherNow, ownNow] = [msPerOperation(baseline), msPerOperation(work)];
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

const ratios: Ratios = Object.fromEntries(GUARDED.map((guarded) => [guarded.row, ratioOf(guarded)]));
process.stdout.write(`${JSON.stringify(ratios)}\n`);
