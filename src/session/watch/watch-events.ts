/** An iterator over the events of one watch: what has happened and was not read yet, up to a limit. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import { UnreadEvents } from './unread-events.ts';
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
  readonly #unread: UnreadEvents<MonitorEvent>;
  #waiting: (() => void)[] = [];

  /** @internal */
  constructor(options: WatchEventsOptions) {
    this.#options = options;
    this.#unread = new UnreadEvents({
      maxUnread: options.maxUnread,
      advice: 'read faster, raise maxUnread, or iterate the session, which waits for its reader',
      onEnd: () => {
        options.onClose(this);
        this.wake();
      },
    });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** @throws PtmonError `events-dropped` once the reader has fallen too far behind, and what ended the session */
  async next(): Promise<IteratorResult<MonitorEvent, undefined>> {
    for (;;) {
      const event = this.#unread.take();
      if (event !== undefined) return { done: false, value: event };
      if (this.#unread.isOver()) return { done: true, value: undefined };
      const woken = new Promise<void>((resolve) => this.#waiting.push(resolve));
      this.#options.advance();
      await woken;
    }
  }

  /** Ends the iteration; the watch goes on. */
  async return(): Promise<IteratorResult<MonitorEvent, undefined>> {
    this.#unread.clear();
    this.end();
    return { done: true, value: undefined };
  }

  /** An event of the session. What is not about the watch is passed over. */
  deliver(event: MonitorEvent): void {
    const own = eventWithin(this.#options.span, event);
    if (own === undefined) return;
    this.#unread.push(own);
    this.wake();
  }

  /** Nothing more comes; what is unread stays to be read. @param failure what ended the session; undefined where nothing failed */
  end(failure?: unknown): void {
    this.#unread.end(failure);
  }

  /** Has readers that wait look again. */
  wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
