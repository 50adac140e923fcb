/** Takes an order from the agent that started this process: watches one VM into a journal, or moves journals to the archive or the broker. */
import { once } from 'node:events';
import process from 'node:process';
import { finished } from 'node:stream/promises';
import { PtmonError } from '../../../core/error.ts';
import type { Order, WatchOrder, WorkerReport } from '../../../fleet/agent/orders.ts';
import { Journal } from '../../../fleet/journal/journal.ts';
import { TextOutput } from '../../../sinks/text-output.ts';
import type { Streams } from '../../context.ts';
import { openAndWatch } from '../../live/run-watch.ts';
import { mapOption } from '../../options/map-choice.ts';
import { EXIT_OK } from '../../exit/exit-codes.ts';
import { runMover } from './run-mover.ts';
import { runReplay } from '../../trace/run-replay.ts';

const REPORT_MS = 1000;

/** @throws PtmonError as the watch; `bad-argument` without an agent */
export async function runWorker({ messages }: Pick<Streams, 'messages'>, signal: AbortSignal): Promise<number> {
  if (process.send === undefined) {
    throw new PtmonError(
      'bad-argument',
      'agent-worker is started by ptmon agent: it takes its order from that process',
    );
  }
  const orphaned = new AbortController();
  process.once('disconnect', () => orphaned.abort());
  const ended = AbortSignal.any([signal, orphaned.signal]);
  try {
    const [order] = (await once(process, 'message', { signal: ended })) as [Order];
    if (order.kind === 'watch') await watchIntoJournal(order, messages, ended);
    else await runMover(order, { messages }, ended);
    return EXIT_OK;
  } finally {
    // The channel would keep this process alive, and the agent waits for its end to begin again.
    if (process.connected) process.disconnect();
  }
}

async function watchIntoJournal(order: WatchOrder, messages: TextOutput, signal: AbortSignal): Promise<void> {
  const { facts, folder, maxMs, maxBytes, rule } = order;
  const journal = new Journal({ facts, folder, maxMs, maxBytes, maxEventsPerSecond: rule.maxEventsPerSecond });
  const report = () => {
    const message: WorkerReport = { counts: journal.counts };
    if (process.connected) process.send?.(message);
  };
  const timer = setInterval(() => {
    journal.tick();
    report();
  }, REPORT_MS);
  try {
    await watch(order, { output: new TextOutput(journal), messages }, signal);
  } finally {
    clearInterval(timer);
    journal.end();
    await finished(journal);
    report();
  }
}

async function watch({ rule, target }: WatchOrder, streams: Streams, signal: AbortSignal): Promise<void> {
  const json = { json: true, time: true };
  if (target.kind === 'trace') {
    const speed = target.speed === undefined ? {} : { speed: target.speed };
    return runReplay(target.file, { ...json, ...speed }, streams.output, signal);
  }
  const { kinds, processes: comm, map, mode, intervalMs } = rule;
  const { qmp, gdb } = target;
  const how = mode === 'sample' ? { mode, interval: intervalMs } : { ...(gdb !== undefined && { gdb }) };
  await openAndWatch(
    {
      ...json,
      ...how,
      ...(mode === 'exact' && { mode }),
      ...(map !== undefined && { map: mapOption(map) }),
      qmp,
      kinds,
      comm,
      root: 'current',
    },
    streams,
    signal,
  );
}
