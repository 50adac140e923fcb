/** Moves the journal of an agent to its archive or to the broker until it is told to end, and then what is left. */
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorText } from '../../../core/error.ts';
import type { MoveOrder, MoverReport } from '../../../fleet/agent/orders.ts';
import { damageIn } from '../../../fleet/journal/batch.ts';
import { Keeper } from '../../../fleet/archive/keeper.ts';
import { Sender } from '../../../fleet/broker/sender.ts';
import type { Streams } from '../../context.ts';
import { printStatus } from '../../output/status-lines.ts';

/** A journal that is longer than this stays for the next start of the agent. */
const LAST_ROUND_MS = 15_000;

interface Mover {
  /** Returns how much it has moved. */
  move(): Promise<number>;
  dropped(): number;
  close(): Promise<void>;
}

export async function runMover(order: MoveOrder, { messages }: Pick<Streams, 'messages'>, signal: AbortSignal) {
  const mover = moverOf(order, signal);
  let said: string | null = null;
  const round = async () => {
    let [moved, problem]: [number, string | null] = [0, null];
    try {
      moved = await mover.move();
      problem = damageIn(order.journal);
    } catch (error) {
      // A disk that is full may have room later, and a broker may come back. The journal keeps what is not moved.
      problem = errorText(error);
    }
    if (problem !== null && problem !== said) await printStatus(messages, problem);
    said = problem;
    const report: MoverReport = { moved, dropped: mover.dropped(), problem };
    if (process.connected) process.send?.(report);
  };
  while (!signal.aborted && order.isLast !== true) {
    await round();
    await sleep(order.everyMs, undefined, { signal }).catch(() => {});
  }
  await round();
  await mover.close();
}

function moverOf(order: MoveOrder, signal: AbortSignal): Mover {
  const isEnding = () => signal.aborted || order.isLast === true;
  const untilLate = () => {
    const startMs = performance.now();
    return () => isEnding() && performance.now() - startMs > LAST_ROUND_MS;
  };
  if (order.kind === 'keep') {
    const keeper = new Keeper(order);
    const move = async () => {
      const rows = await keeper.keep(untilLate());
      await keeper.tidy();
      return rows;
    };
    return { move, dropped: () => 0, close: async () => {} };
  }
  const sender = new Sender(order);
  const move = () => sender.send(untilLate());
  return { move, dropped: () => sender.dropped, close: () => sender.close() };
}
