/**
 * Leaving a gdbstub so that the guest runs on, or stays stopped where it was stopped before, with no watchpoint left.
 *
 * QEMU 7.2 crashes at a second command to detach, and takes the first byte after one for an interrupt. So nothing follows it.
 */
import type { GdbConnection } from './connection.ts';
import { unexpectedReply } from './reply/error-reply.ts';
import type { StopReply } from './reply/stop-reply.ts';
import { formatThreadId, type ThreadId } from './reply/thread-id.ts';

export interface DetachOptions {
  /** Leaves the guest stopped: for one that was stopped before. */
  readonly leaveStopped?: boolean;
}

/** Where no stop has told the number of the process yet: QEMU counts them from 1, one for each cluster of processors. */
export const DETACH = 'D;1';
/** Where the guest is stopped. QEMU takes it for a beginning, and clears watchpoints: in version 7.2 those of the chosen vCPU alone. */
const ASK_STOP = '?';

export interface LeaveParts {
  readonly connection: GdbConnection;
  /** Why the guest stopped last. */
  readonly stop: () => StopReply;
  /** The vCPUs; perhaps none where they were not asked for yet. */
  readonly threads: () => readonly ThreadId[];
  readonly listThreads: () => Promise<readonly ThreadId[]>;
  /** The command that leaves the stub's addresses virtual; undefined where they are. */
  readonly restoringCommand: () => string | undefined;
  /** Whether a vCPU may run into a watchpoint or a breakpoint of ours. */
  readonly hasTraps: () => boolean;
}

export class Leave {
  readonly #parts: LeaveParts;
  #hasLeft = false;

  constructor(parts: LeaveParts) {
    this.#parts = parts;
  }

  /** Detaches, or clears all watchpoints of a guest that is to stay stopped and does. @throws as `GdbConnection.request` */
  async detach({ leaveStopped = false }: DetachOptions): Promise<void> {
    const { connection } = this.#parts;
    if (this.#parts.stop().kind !== 'stopped') return;
    const stops = connection.unaskedStops;
    const restoring = this.#parts.restoringCommand();
    // Whatever comes of it: that the guest runs on matters more.
    if (restoring !== undefined) await connection.request(restoring).catch(() => {});
    if (leaveStopped) await this.#clearAll();
    // Else another client resumed it meanwhile, and a command of ours stopped it.
    if (leaveStopped && connection.unaskedStops === stops) return;
    await connection.getInStep();
    this.#hasLeft = true;
    const reply = await connection.request(this.#detachCommand());
    if (reply !== 'OK') throw unexpectedReply(connection.address, 'the command to detach', reply);
  }

  /** The same without waiting for an answer, and closes the connection. */
  abandon({ leaveStopped = false }: DetachOptions): void {
    const { connection } = this.#parts;
    if (this.#hasLeft) return connection.close();
    const restoring = this.#parts.restoringCommand();
    const last = leaveStopped ? this.#clearingCommands() : [this.#detachCommand()];
    this.#hasLeft = true;
    connection.abandon(
      [...(restoring === undefined ? [] : [restoring]), ...last],
      !leaveStopped && this.#parts.hasTraps(),
    );
  }

  /** Clears the watchpoints of all vCPUs, whichever client set them. */
  async #clearAll(): Promise<void> {
    if (this.#parts.threads().length === 0) await this.#parts.listThreads();
    for (const command of this.#clearingCommands()) {
      if (command === ASK_STOP) await this.#parts.connection.requestStop(command);
      else await this.#parts.connection.request(command);
    }
  }

  /** With one vCPU there is none to choose. */
  #clearingCommands(): string[] {
    const threads = this.#parts.threads();
    if (threads.length < 2) return [ASK_STOP];
    return threads.flatMap((thread) => [`Hc${formatThreadId(thread)}`, ASK_STOP]);
  }

  #detachCommand(): string {
    const stop = this.#parts.stop();
    const pid = stop.kind === 'stopped' ? stop.thread?.pid : undefined;
    return pid === undefined ? 'D' : `D;${pid.toString(16)}`;
  }
}
