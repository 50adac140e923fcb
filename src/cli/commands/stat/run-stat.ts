/** Replays a trace and counts its events. */
import { openTrace } from '../../../drivers/trace/index.ts';
import { openSession } from '../../../session/session.ts';
import { coloursFor } from '../../../sinks/console/colours.ts';
import { columnsOf } from '../../../sinks/columns.ts';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { introductionText, recordedKinds } from '../../trace/about-text.ts';
import { StatTally } from './stat-tally.ts';
import { statText } from './stat-text.ts';

const RATE_PARTS = 60;
const MOST_CHANGED = 20;

export interface StatOptions {
  readonly json?: boolean;
}

/** Prints what a damaged trace contains before it throws the fault. @throws PtmonError as `openTrace` */
export async function runStat(
  path: string,
  { json }: StatOptions,
  output: TextOutput,
  signal: AbortSignal,
): Promise<void> {
  const tally = new StatTally();
  const { driver, script } = openTrace(path, { onInstant: (instant) => tally.addInstant(instant) });
  const session = await openSession({ driver, script, kinds: recordedKinds(driver.about), signal });
  try {
    for await (const event of session) tally.addEvent(event, driver.timeUs);
  } finally {
    await session.close();
    const summary = session.summary();
    const { byteLength } = driver;
    if (json === true) {
      const facts = {
        about: { ...driver.about, paging: session.monitor.paging.mode.name },
        byteLength,
        ...jsonOf(tally, driver.timeUs),
      };
      await output.write(`${JSON.stringify({ ...facts, ...summary })}\n`);
    } else {
      const introduction = introductionText(driver.about, session.monitor.paging.mode.name, summary);
      const facts = { introduction, tally, summary, seconds: driver.timeUs / 1e6, byteLength };
      await output.write(statText(facts, columnsOf(output.stream), coloursFor(output.stream)));
    }
  }
}

function jsonOf(tally: StatTally, timeUs: number) {
  return {
    timeUs,
    instants: tally.instants,
    mostTables: tally.mostTables,
    changes: tally.changes,
    byProcess: Object.fromEntries(tally.pages.byProcess),
    byEntry: Object.fromEntries(tally.pages.byKey),
    mostRestless: tally.mostChanged(MOST_CHANGED),
    eventsPerSecond: tally.rates('events', RATE_PARTS, timeUs),
    writesPerSecond: tally.rates('writes', RATE_PARTS, timeUs),
  };
}
