/** The process that moves the journal to the archive or to the broker. It starts again when it ends; what it had begun is done again. */
import type { ChildProcess } from 'node:child_process';
import { Backoff } from './backoff.ts';
import { LogLimit } from './log-limit.ts';
import type { MoveOrder, MoverReport } from './orders.ts';
import { startChild } from './start-child.ts';

export interface MoverProcessOptions {
  readonly order: MoveOrder;
  readonly program: readonly string[];
  readonly log: (line: string) => void;
}

export type MoverStatus = MoverReport;

/** Of the JavaScript heap: a batch of segments, as rows. */
const MEMORY_MIB = 1024;

/** Of a process that has done its last round because of SIGTERM. */
const EXIT_TERMINATED = 143;

export class MoverProcess {
  readonly #options: MoverProcessOptions;
  readonly #backoff = new Backoff();
  readonly #logLimit: LogLimit;
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #ended: Promise<void> = Promise.resolve();
  #isStopped = false;
  #hasFinished = false;
  #moved = 0;
  /** Of the processes before, and of this one. */
  #droppedBefore = 0;
  #dropped = 0;
  #problem: string | null = null;

  constructor(options: MoverProcessOptions) {
    this.#options = options;
    this.#logLimit = new LogLimit((line) => this.#say(line));
    this.#spawn();
  }

  get status(): MoverStatus {
    return { moved: this.#moved, dropped: this.#droppedBefore + this.#dropped, problem: this.#problem };
  }

  /** Resolves once all complete segments are moved, or that has failed. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#child?.kill('SIGTERM');
    await this.#ended;
    // It was waiting for its next start, or the signal came before it could obey.
    if (!this.#hasFinished) this.#spawn({ isLast: true });
    await this.#ended;
  }

  #spawn(more: { readonly isLast?: true } = {}): void {
    const { program } = this.#options;
    const order = { ...this.#options.order, ...more };
    const startedMs = performance.now();
    const child = startChild(program, MEMORY_MIB);
    this.#child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#logLimit.take(text));
    child.on('message', ({ moved, dropped, problem }: MoverReport) => {
      this.#moved += moved;
      this.#dropped = dropped;
      this.#problem = problem;
    });
    // Where there was no room for it, it is not there.
    if (child.connected) child.send(order, () => {});
    this.#ended = new Promise((resolve) => {
      child.on('error', (error) => this.#say(error.message));
      child.on('close', (code, signal) => {
        this.#child = undefined;
        this.#droppedBefore += this.#dropped;
        this.#dropped = 0;
        this.#hasFinished = code === 0 || code === EXIT_TERMINATED;
        resolve();
        if (this.#isStopped) return;
        this.#problem = `the process ended with ${code ?? signal}`;
        const waitMs = this.#backoff.after(performance.now() - startedMs);
        this.#say(`${this.#problem}; it starts again in ${waitMs / 1000} s`);
        this.#timer = setTimeout(() => this.#spawn(), waitMs);
      });
    });
  }

  #say(line: string): void {
    this.#options.log(`${this.#options.order.kind === 'keep' ? 'archive' : 'broker'}: ${line}`);
  }
}
