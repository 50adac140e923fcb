/** A stop of the guest, and who hears of it. */
import type { StopReply } from '../../gdb/reply/stop-reply.ts';

/**
 * Told of a stop at a watchpoint, in the turn of the event loop in which it is read, where nothing is known that is to be done before the
 * guest runs on. True to let it run on at once: `next` does not return then.
 */
export type RunsOn = (stop: Stop, atMs: number) => boolean;

/** Where the guest is stopped, with all that it has written in memory. */
export interface Stop {
  /** Undefined where another client of QEMU had let the guest run, so that nobody told us. */
  readonly reply: StopReply | undefined;
  /** False where it was let run more than once since it was looked at: what happened in between is not known. */
  readonly isSure: boolean;
}

export interface NextOptions {
  /** A migration is under way. */
  readonly isMoving?: boolean;
  readonly runsOn?: RunsOn | undefined;
}
