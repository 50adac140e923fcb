/** Moves the journal of an agent to its archive until it is told to end, and then what is left. */
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeeperReport, KeepOrder } from '../../../fleet/agent/orders.ts';
import { Keeper } from '../../../fleet/archive/keeper.ts';
import type { Streams } from '../../context.ts';
import { printStatus } from '../../output/status-lines.ts';

export async function runKeeper(order: KeepOrder, { messages }: Pick<Streams, 'messages'>, signal: AbortSignal) {
  const keeper = new Keeper(order);
  let said: string | null = null;
  const round = async () => {
    let [rows, problem]: [number, string | null] = [0, null];
    try {
      rows = await keeper.keep();
      await keeper.tidy();
    } catch (error) {
      // A disk that is full may have room later. The journal keeps what is not in the archive.
      problem = error instanceof Error ? error.message : String(error);
    }
    if (problem !== null && problem !== said) await printStatus(messages, problem);
    said = problem;
    const report: KeeperReport = { rows, problem };
    if (process.connected) process.send?.(report);
  };
  while (!signal.aborted && order.isLast !== true) {
    await round();
    await sleep(order.everyMs, undefined, { signal }).catch(() => {});
  }
  await round();
}
