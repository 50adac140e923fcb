/**
 * The events of one handle, for one reader. The guest stays stopped at an event until its reader asks for the next one: what the reader
 * reads of the guest meanwhile is as it was at that event.
 */
import { PtmonError } from '../../core/error.ts';

/** Events that are kept for a reader that has not begun, or that waits for something else. One takes some 300 bytes. */
const MAX_UNREAD = 4096;

interface Unread<Event> {
  readonly event: Event;
  /** The reader has finished with it. */
  readonly done: () => void;
}

export class EventQueue<Event> implements AsyncIterableIterator<Event> {
  readonly #onRead: () => void;
  readonly #unread: Unread<Event>[] = [];
  #current: Unread<Event> | undefined;
  #wake = () => {};
  #hasReader = false;
  /** The reader waits for something that takes a running guest. */
  #isReleased = false;
  #dropped = 0;
  #end: { readonly failure: unknown } | undefined;

  /** @param onRead called whenever the reader waits for an event: the guest must run */
  constructor(onRead: () => void) {
    this.#onRead = onRead;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Resolves when the reader has finished with the event; at once where there is none that the guest must wait for. */
  async push(event: Event): Promise<void> {
    if (this.#end !== undefined) return;
    if (this.#dropped > 0 || this.#unread.length >= MAX_UNREAD) {
      this.#dropped++;
      return;
    }
    const isDone = new Promise<void>((done) => this.#unread.push({ event, done }));
    this.#wake();
    if (this.#hasReader && !this.#isReleased) await isDone;
  }

  /** @throws PtmonError `events-dropped` where the reader has fallen too far behind; what ended the session */
  async next(): Promise<IteratorResult<Event, undefined>> {
    this.#hasReader = true;
    this.#isReleased = false;
    this.#finishCurrent();
    for (;;) {
      this.#current = this.#unread.shift();
      if (this.#current !== undefined) return { done: false, value: this.#current.event };
      if (this.#dropped > 0) this.#throwDropped();
      if (this.#end !== undefined) return this.#over(this.#end.failure);
      const woken = new Promise<void>((resolve) => (this.#wake = resolve));
      this.#onRead();
      await woken;
    }
  }

  async return(): Promise<IteratorResult<Event, undefined>> {
    this.end();
    this.#unread.length = 0;
    return { done: true, value: undefined };
  }

  /** The guest does not wait for the reader until it asks for an event again. */
  release(): void {
    this.#isReleased = true;
    this.#finishCurrent();
    for (const { done } of this.#unread) done();
  }

  /** Nothing more comes; what is unread stays to be read. @param failure what ended the session; undefined where nothing failed */
  end(failure?: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { failure };
    this.release();
    this.#wake();
  }

  #finishCurrent(): void {
    this.#current?.done();
    this.#current = undefined;
  }

  #over(failure: unknown): IteratorResult<Event, undefined> {
    this.#end = { failure: undefined };
    if (failure !== undefined) throw failure;
    return { done: true, value: undefined };
  }

  #throwDropped(): never {
    const dropped = this.#dropped;
    this.#dropped = 0;
    throw new PtmonError(
      'events-dropped',
      `${dropped} ${dropped === 1 ? 'event was' : 'events were'} dropped: ${MAX_UNREAD} were unread; begin to read before the guest runs`,
    );
  }
}
