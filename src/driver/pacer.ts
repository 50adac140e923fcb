/** Long work in steps: it yields to other work, reports its progress and can be aborted. */
import { setImmediate } from 'node:timers/promises';

/** How far something is. */
export interface Progress {
  /** What is done, human-readable: `searching for roots`. */
  readonly what: string;
  readonly done: number;
  /** Absent where nobody can know. */
  readonly total?: number;
  readonly unit: 'bytes' | 'pages' | 'records' | 'addresses';
}

export interface LongWorkOptions {
  /** Called every now and then. */
  readonly onProgress?: (progress: Progress) => void;
  /** Ends the work. */
  readonly signal?: AbortSignal;
}

/** Short enough that Ctrl-C is noticed at once. */
const TURN_INTERVAL_MS = 20;
/** To ask the clock takes as long as some entries. */
const STEPS_PER_LOOK = 64;

export class Pacer {
  readonly #options: LongWorkOptions;
  #last = performance.now();
  #steps = 0;

  constructor(options: LongWorkOptions) {
    this.#options = options;
  }

  /** Whether it is time for a `turn`; to be asked at every step, which should not take longer than a millisecond. */
  get isDue(): boolean {
    return ++this.#steps % STEPS_PER_LOOK === 0 && performance.now() - this.#last >= TURN_INTERVAL_MS;
  }

  /** @throws the reason of the signal when it is aborted */
  async turn(progress?: Progress): Promise<void> {
    if (progress !== undefined) this.#options.onProgress?.(progress);
    await setImmediate();
    this.#options.signal?.throwIfAborted();
    this.#last = performance.now();
  }
}
