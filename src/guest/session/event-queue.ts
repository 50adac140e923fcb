/**
 * The events of one handle, for one reader. The guest stays stopped at an event until its reader asks for the next one: what the reader
 * reads of the guest meanwhile is as it was at that event.
 */
import process from 'node:process';
import { PtmonError } from '../../core/error.ts';
import { UnreadEvents } from '../../session/watch/unread-events.ts';

/** Events that are kept for a reader that has not begun, or that waits for something else. One takes some 300 bytes. */
const MAX_UNREAD = 4096;
/** After that the script is told that the guest waits for it. */
const LONG_STOP_MS = 10_000;

export class EventQueue<Event> implements AsyncIterableIterator<Event> {
  readonly #onRead: () => void;
  readonly #onLeave: () => Promise<void>;
  readonly #unread: UnreadEvents<Event>;
  #wake = () => {};
  /** Ends the wait of `push` for the reader. */
  #letGuestRun = () => {};
  #hasReader = false;
  #isWaiting = false;
  /** The reader waits for something that takes a running guest. */
  #isReleased = false;
  #hasWarned = false;

  /**
   * @param onRead called whenever the reader waits for an event: the guest must run
   * @param onLeave called when the reader leaves before the end: there is no other
   */
  constructor(onRead: () => void, onLeave: () => Promise<void>) {
    this.#onRead = onRead;
    this.#onLeave = onLeave;
    this.#unread = new UnreadEvents({
      maxUnread: MAX_UNREAD,
      advice: 'begin to read before the guest runs',
      onEnd: () => {
        this.release();
        this.#wake();
      },
    });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Resolves when the reader has finished with the event; at once where the guest must not wait for a reader. */
  async push(event: Event): Promise<void> {
    this.#unread.push(event);
    this.#wake();
    if (!this.#hasReader || this.#isReleased || this.#unread.hasEnded) return;
    const warning = setTimeout(() => this.#warn(), LONG_STOP_MS);
    await new Promise<void>((resolve) => (this.#letGuestRun = resolve));
    clearTimeout(warning);
  }

  /** Says, once, that the script keeps the guest stopped. */
  #warn(): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    process.emitWarning(
      `the guest has been stopped for ${LONG_STOP_MS / 1000} s at an event of a watch: it runs on when the loop ends or takes the next event`,
    );
  }

  /**
   * @throws PtmonError `events-dropped` where the reader has fallen too far behind; `bad-argument` where another call of `next` waits; what
   *   ended the session
   */
  async next(): Promise<IteratorResult<Event, undefined>> {
    // One of two would never wake.
    if (this.#isWaiting)
      throw new PtmonError('bad-argument', 'another loop already reads this watch: open a watch for each loop');
    this.#isWaiting = true;
    try {
      return await this.#next();
    } finally {
      this.#isWaiting = false;
    }
  }

  async #next(): Promise<IteratorResult<Event, undefined>> {
    this.#hasReader = true;
    this.#isReleased = false;
    for (;;) {
      const event = this.#unread.take();
      if (event !== undefined) return { done: false, value: event };
      this.#letGuestRun();
      if (this.#unread.isOver()) return { done: true, value: undefined };
      const woken = new Promise<void>((resolve) => (this.#wake = resolve));
      this.#onRead();
      await woken;
    }
  }

  async return(): Promise<IteratorResult<Event, undefined>> {
    this.#unread.clear();
    this.end();
    await this.#onLeave();
    return { done: true, value: undefined };
  }

  /** The guest does not wait for the reader until it asks for an event again. */
  release(): void {
    this.#isReleased = true;
    this.#letGuestRun();
  }

  /** Nothing more comes; what is unread stays to be read. @param failure what ended the session; undefined where nothing failed */
  end(failure?: unknown): void {
    this.#unread.end(failure);
  }
}
