/** An iterator over the events of one watch: what has happened and was not read yet, up to a limit. */
import { PtmonError } from '../../core/error.ts';
import type { MonitorEvent } from '../../core/monitor/events.ts';
import { eventWithin, type WatchedSpan } from './watched-span.ts';

export interface WatchEventsOptions {
  readonly span: WatchedSpan;
  /** Events that are kept until they are read. */
  readonly maxUnread: number;
  /** Called whenever a reader waits: lets the guest run on, where the session has no consumer that does. */
  readonly advance: () => void;
  readonly onClose: (events: WatchEvents) => void;
}

export class WatchEvents implements AsyncIterableIterator<MonitorEvent> {
  readonly #options: WatchEventsOptions;
  #unread: MonitorEvent[] = [];
  /** Of `unread`, the first that was not read. */
  #next = 0;
  #dropped = 0;
  #waiting: (() => void)[] = [];
  #end: { readonly failure: unknown } | undefined;

  constructor(options: WatchEventsOptions) {
    this.#options = options;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** @throws PtmonError `events-dropped` once the reader has fallen too far behind, and what ended the session */
  async next(): Promise<IteratorResult<MonitorEvent, undefined>> {
    for (;;) {
      const event = this.#take();
      if (event !== undefined) return { done: false, value: event };
      if (this.#dropped > 0) this.#throwDropped();
      if (this.#end !== undefined) return this.#finish(this.#end.failure);
      const woken = new Promise<void>((resolve) => this.#waiting.push(resolve));
      this.#options.advance();
      await woken;
    }
  }

  /** Ends the iteration; the watch goes on. */
  async return(): Promise<IteratorResult<MonitorEvent, undefined>> {
    this.#unread = [];
    this.#next = 0;
    this.#dropped = 0;
    this.end();
    return { done: true, value: undefined };
  }

  /** An event of the session. What is not about the watch is passed over. */
  deliver(event: MonitorEvent): void {
    if (this.#end !== undefined) return;
    const own = eventWithin(this.#options.span, event);
    if (own === undefined) return;
    // What follows a gap would not be what it seems (rule E1).
    if (this.#dropped > 0 || this.#unread.length - this.#next >= this.#options.maxUnread) this.#dropped++;
    else this.#unread.push(own);
    this.wake();
  }

  /** Nothing more comes; what is unread stays to be read. @param failure what ended the session; undefined where nothing failed */
  end(failure?: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { failure };
    this.#options.onClose(this);
    this.wake();
  }

  /** Has readers that wait look again. */
  wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  #take(): MonitorEvent | undefined {
    const event = this.#unread[this.#next];
    if (event === undefined) return undefined;
    this.#next++;
    if (this.#next === this.#unread.length) {
      this.#unread = [];
      this.#next = 0;
    }
    return event;
  }

  /** The failure is thrown once; after it the iterator is over. */
  #finish(failure: unknown): IteratorResult<MonitorEvent, undefined> {
    this.#end = { failure: undefined };
    if (failure !== undefined) throw failure;
    return { done: true, value: undefined };
  }

  #throwDropped(): never {
    const dropped = this.#dropped;
    this.#dropped = 0;
    this.end();
    const { maxUnread } = this.#options;
    throw new PtmonError(
      'events-dropped',
      `${dropped} ${dropped === 1 ? 'event was' : 'events were'} dropped: the reader of this watch left ${maxUnread} events ` +
        'unread; read faster, raise maxUnread, or iterate the session, which waits for its reader',
    );
  }
}
