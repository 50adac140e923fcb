/** Commands to a gdbstub and their replies: the link over a transport, several commands under way at once, and time limits. */
import { PtmonError, type PtmonErrorCode } from '../../../core/error.ts';
import type { Transport } from '../transport/transport.ts';
import { bytesOfCharacters, frameCommand, HALT } from './packet/packet-encoder.ts';
import { type LinkCommand, type LinkEvent, PacketLink } from './packet/packet-link.ts';

/**
 * So many commands under way at once. Of 4,096 watchpoints, QEMU 7.2 set 13,000 a second with a window of 1, 58,000 with 8, 84,000 with
 * 64, 90,000 with 256.
 */
export const DEFAULT_WINDOW = 64;

export interface ConnectionOptions {
  readonly timeoutMs: number;
  readonly window?: number;
  /** Called once when the peer is gone; not after `close`. */
  readonly onLost?: (error: PtmonError) => void;
}

/** What is being done: commands of which the first `replies.length` are answered. */
interface Task {
  readonly commands: readonly LinkCommand[];
  readonly replies: string[];
  readonly window: number;
  sent: number;
  /** Whether all of them are to be carried out once more, now that they have been answered. */
  readonly again?: ((reply: string) => boolean) | undefined;
  resolve(replies: string[]): void;
  reject(error: PtmonError): void;
}

/** A call that waits for the fence to come back. */
interface Fenced {
  resolve(hasHalted: boolean): void;
  reject(error: PtmonError): void;
}

/** One task at a time, in the order of the calls. */
export class GdbConnection {
  readonly #transport: Transport;
  readonly #link = new PacketLink();
  readonly #options: ConnectionOptions;
  #task: Task | undefined;
  readonly #fenced: Fenced[] = [];
  #timer: NodeJS.Timeout | undefined;
  #deadlineMs = Infinity;
  #running = false;
  #interrupting = false;
  /** Whether the interrupt has stopped the target. */
  #hasInterrupted: Promise<boolean> | undefined;
  #unaskedStops = 0;
  #end: PtmonError | undefined;

  constructor(transport: Transport, options: ConnectionOptions) {
    this.#transport = transport;
    this.#options = options;
    transport.start({
      bytes: (chunk) => this.#receive(chunk),
      lost: (error) => this.#lose(error),
    });
  }

  get address(): string {
    return this.#transport.address;
  }

  /** Whether the target was let run and has not stopped yet. */
  get isRunning(): boolean {
    return this.#running;
  }

  /** How often the target has stopped without a command that waited for it. */
  get unaskedStops(): number {
    return this.#unaskedStops;
  }

  /** The first of the bytes that were no packets. */
  get noiseSample(): string {
    return this.#link.noiseSample.replace(/[^ -~]/g, '·').trim();
  }

  /** One command and its reply. The time limit is for each command. @throws as `exchange` */
  async request(payload: string): Promise<string> {
    const [reply] = await this.#do([{ payload, expects: 'reply' }], 1);
    return reply!;
  }

  /** As `request`, for a command whose reply says where a target stands that does not run. */
  async requestStop(payload: string): Promise<string> {
    const [reply] = await this.#do([{ payload, expects: 'stop' }], 1);
    return reply!;
  }

  /**
   * Commands that may be carried out in any order, many under way at once; their replies, in the order of the commands.
   *
   * The first goes alone. Should the target run, because another client of QEMU let it, that one stops it, and the stop is not among
   * the replies of many, where it means that nobody can be sure of any.
   *
   * @throws PtmonError `source-unavailable` when the peer is gone or does not answer in time, `corrupt-input` when its packets
   *   arrive damaged or out of step (`isOutOfStep`), `closed` after `close`
   */
  exchange(payloads: readonly string[], window = this.#options.window ?? DEFAULT_WINDOW): Promise<string[]> {
    return this.#do(
      payloads.map((payload) => ({ payload, expects: 'reply' })),
      window,
    );
  }

  /** `exchange` for commands that may be carried out twice: once more, one at a time, where their replies were out of step. */
  async exchangeRepeatable(payloads: readonly string[]): Promise<string[]> {
    try {
      return await this.exchange(payloads);
    } catch (error) {
      if (!isOutOfStep(error)) throw error;
      return this.exchange(payloads, 1);
    }
  }

  /**
   * Lets the target run; the reply that says why it stopped, however late, and whether an interrupt of ours, and nothing else, stopped it.
   *
   * @param again told of a stop in the turn of the event loop in which it is read; true to let the target run once more, at once
   * @throws as `exchange`
   */
  async resume(
    payload: string,
    again?: (reply: string) => boolean,
  ): Promise<{ readonly reply: string; readonly isInterrupted: boolean }> {
    this.#running = true;
    try {
      const [reply] = await this.#do([{ payload, expects: 'stop' }], 1, again);
      return { reply: reply!, isInterrupted: (await this.#hasInterrupted) ?? false };
    } finally {
      this.#running = false;
      this.#interrupting = false;
      this.#hasInterrupted = undefined;
    }
  }

  /** Asks a running target to stop: `resume` returns. Nothing happens while none runs. */
  interrupt(): void {
    if (!this.#running || this.#interrupting || this.#end !== undefined) return;
    this.#interrupting = true;
    // Behind the command, which may still wait for the link to be in step.
    if (this.#task !== undefined) this.#halt();
  }

  /** Finds out, where it is not known, which reply belongs to which command. @throws as `exchange` */
  async getInStep(): Promise<void> {
    if (!this.#link.isInStep) await this.fence();
  }

  /**
   * After this the target is stopped, whichever client resumed it, and the replies are in step with the commands.
   *
   * @returns whether this call, or an interrupt before it, has stopped the target
   * @throws as `exchange`
   */
  fence(): Promise<boolean> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      this.#fenced.push({ resolve, reject });
      if (this.#fenced.length > 1) return;
      this.#link.fence();
      this.#arm();
      this.#flush();
    });
  }

  /**
   * Sends commands and closes, without waiting for an answer: for a process that is about to end, or a peer that does not answer. The
   * target may run.
   *
   * @param haltsFirst halts it some time before (`HALTING_MS`, which this call takes)
   */
  abandon(payloads: readonly string[], haltsFirst = false): void {
    if (haltsFirst && this.#end === undefined) {
      this.#transport.send(bytesOfCharacters(HALT));
      sleep(HALTING_MS);
    }
    this.#transport.send(bytesOfCharacters(payloads.map(frameCommand).join('')));
    this.close();
  }

  /** May be called again. */
  close(): void {
    this.#transport.close();
    if (this.#end === undefined) this.#finish(this.#error('closed', 'the connection is closed'));
  }

  async #do(commands: readonly LinkCommand[], window: number, again?: (reply: string) => boolean): Promise<string[]> {
    if (this.#end !== undefined) throw this.#end;
    if (!this.#link.isInStep) await this.fence();
    if (commands.length === 0) return [];
    return new Promise((resolve, reject) => {
      this.#task = { commands, replies: [], window, sent: 0, again, resolve, reject };
      this.#pump();
      this.#flush();
      this.#arm();
      if (this.#interrupting) this.#halt();
    });
  }

  #halt(): void {
    this.#hasInterrupted = this.fence();
    // Where it fails, so does the command that waits for the stop.
    this.#hasInterrupted.catch(() => {});
  }

  /** Makes packets of what the window allows. */
  #pump(): void {
    const task = this.#task;
    if (task === undefined) return;
    const window = task.replies.length === 0 ? 1 : task.window;
    while (task.sent < task.commands.length && this.#link.commandsUnderWay < window) {
      this.#link.send(task.commands[task.sent++]!);
    }
  }

  #flush(): void {
    const output = this.#link.takeOutput();
    if (output !== undefined) this.#transport.send(output);
  }

  #receive(chunk: Uint8Array): void {
    for (const event of this.#link.receive(chunk)) this.#handle(event);
    if (this.#end !== undefined) return;
    this.#pump();
    // Acknowledgements and commands, all in one write.
    this.#flush();
  }

  #handle(event: LinkEvent): void {
    const task = this.#task;
    switch (event.kind) {
      case 'arrived':
        // However long it runs is right, unless it was asked to stop.
        if (this.#running && !this.#interrupting) this.#disarm();
        return;
      case 'reply':
        return task && this.#replied(task, event.payload);
      case 'failed':
        return this.#failTask('corrupt-input', event.reason);
      case 'out-of-step':
        return this.#failTask('corrupt-input', 'replies and commands are out of step', new OutOfStep(event.reason));
      case 'in-step':
        this.#disarm();
        for (const call of this.#fenced.splice(0)) call.resolve(event.hasHalted);
        return;
      case 'stop':
        // No command asked for this. `?` and the next command that runs the target report the same.
        this.#unaskedStops++;
        return;
      case 'notification':
        return;
    }
  }

  #replied(task: Task, reply: string): void {
    if (task.again !== undefined && !this.#interrupting && task.again(reply)) {
      task.sent = 0;
      this.#arm();
      return;
    }
    task.replies.push(reply);
    if (task.replies.length < task.commands.length) {
      this.#arm();
      return;
    }
    this.#task = undefined;
    if (this.#fenced.length === 0) this.#disarm();
    task.resolve(task.replies);
  }

  #failTask(code: PtmonErrorCode, fault: string, cause?: Error): void {
    const task = this.#task;
    this.#task = undefined;
    this.#disarm();
    if (task === undefined) return;
    const command = task.commands[task.replies.length]?.payload ?? '';
    task.reject(
      this.#error(code, `${fault}${cause ? ` (${cause.message})` : ''}, at the command ${shown(command)}`, cause),
    );
  }

  /** One timer serves thousands of commands a second. */
  #arm(): void {
    this.#deadlineMs = performance.now() + this.#options.timeoutMs;
    this.#timer ??= setTimeout(this.#look, this.#options.timeoutMs);
  }

  #disarm(): void {
    this.#deadlineMs = Infinity;
  }

  readonly #look = () => {
    const leftMs = this.#deadlineMs - performance.now();
    this.#timer = leftMs > 0 && leftMs < Infinity ? setTimeout(this.#look, leftMs) : undefined;
    if (leftMs <= 0) this.#timeout();
  };

  #timeout(): void {
    this.#disarm();
    const within = `within ${this.#options.timeoutMs} ms`;
    if (this.#fenced.length > 0 && this.#task === undefined) {
      // Nothing that this peer says can be relied on any more; but it may yet find what it is told last.
      return this.#lose(this.#error('source-unavailable', `the gdbstub no longer answers (${FENCE_WORDS}, ${within})`));
    }
    const fault = this.#link.hasArrived ? (this.#running ? 'stop' : 'answer') : 'acknowledge';
    this.#link.giveUp();
    const message = `the gdbstub did not ${fault} ${within}`;
    this.#failFences(this.#error('source-unavailable', message));
    this.#failTask('source-unavailable', message);
  }

  #lose(error: PtmonError): void {
    if (this.#end !== undefined) return;
    this.#finish(error);
    this.#options.onLost?.(error);
  }

  #finish(end: PtmonError): void {
    this.#end = end;
    this.#disarm();
    clearTimeout(this.#timer);
    const task = this.#task;
    this.#task = undefined;
    const command = task?.commands[task.replies.length]?.payload ?? '';
    const during = `${end.message} (while waiting for the reply to ${shown(command)})`;
    task?.reject(new PtmonError(end.code, during, {}, { cause: end.cause ?? end }));
    this.#failFences(end);
  }

  #failFences(error: PtmonError): void {
    for (const call of this.#fenced.splice(0)) call.reject(error);
  }

  #error(code: PtmonErrorCode, fault: string, cause?: Error): PtmonError {
    return new PtmonError(code, `${this.address}: ${fault}`, {}, cause && { cause });
  }
}

/**
 * How long a peer that halts its target is left alone before it hears the last words; QEMU needs a turn of its main loop, less than a
 * millisecond where it has a processor. A vCPU that runs into a watchpoint while it is being halted asks for a stop of its own, which
 * comes in the next turn, if the guest runs by then: a detach in the same turn would leave it stopped.
 *
 * Words that are still unread when we have closed are no way to wait: QEMU reads 4,096 bytes of them, then finds that we are gone.
 */
const HALTING_MS = 100;

/** Without going back to the event loop: the process may end before it comes to anything else. */
function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)), 0, 0, ms);
}

const FENCE_WORDS = 'not even a question for its current thread';

class OutOfStep extends Error {}

/** Whether commands failed because it is not known which reply was whose: some of them may have been carried out. */
export function isOutOfStep(error: unknown): boolean {
  return error instanceof PtmonError && error.cause instanceof OutOfStep;
}

function shown(command: string): string {
  const printable = command.replace(/[^ -~]/g, '·');
  return printable.length > 40 ? `${printable.slice(0, 40)}…` : printable;
}
