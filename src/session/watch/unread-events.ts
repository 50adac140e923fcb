/** Events that wait for one reader, in their order, up to a limit; then what ended them, once. */
import { PtmonError } from '../../core/error.ts';

export interface UnreadEventsOptions {
  /** Events that are kept until they are read. */
  readonly maxUnread: number;
  /** What a reader can do who has lost events: a clause for the error. */
  readonly advice: string;
  /** Called once, when nothing more will be kept: after `end`, or when the reader is told that events were dropped. */
  readonly onEnd: () => void;
}

export class UnreadEvents<Event> {
  readonly #options: UnreadEventsOptions;
  #unread: Event[] = [];
  /** Of `unread`, the first that was not read. */
  #next = 0;
  #dropped = 0;
  #end: { readonly failure: unknown } | undefined;

  constructor(options: UnreadEventsOptions) {
    this.#options = options;
  }

  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /** Keeps an event, or counts it as dropped: what follows a gap would not be what it seems (rule E1). Nothing after the end. */
  push(event: Event): void {
    if (this.hasEnded) return;
    if (this.#dropped > 0 || this.#unread.length - this.#next >= this.#options.maxUnread) this.#dropped++;
    else this.#unread.push(event);
  }

  /** The oldest; undefined where all are read. */
  take(): Event | undefined {
    const event = this.#unread[this.#next];
    if (event === undefined) return undefined;
    this.#next++;
    if (this.#next === this.#unread.length) this.clear();
    return event;
  }

  /** Forgets what is unread. */
  clear(): void {
    this.#unread = [];
    this.#next = 0;
  }

  /** Nothing more comes; what is unread stays to be read. @param failure what ended the events; undefined where nothing failed */
  end(failure?: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { failure };
    this.#options.onEnd();
  }

  /**
   * Whether the reader has come to the end.
   *
   * @throws PtmonError `events-dropped` where the reader has fallen too far behind, and the failure that ended the events: each once
   */
  isOver(): boolean {
    if (this.#dropped > 0) this.#throwDropped();
    if (this.#end === undefined) return false;
    const { failure } = this.#end;
    this.#end = { failure: undefined };
    if (failure !== undefined) throw failure;
    return true;
  }

  #throwDropped(): never {
    const dropped = this.#dropped;
    this.#dropped = 0;
    this.end();
    const { maxUnread, advice } = this.#options;
    throw new PtmonError(
      'events-dropped',
      `${dropped} ${dropped === 1 ? 'event was' : 'events were'} dropped: the reader of this watch left ${maxUnread} events unread; ${advice}`,
    );
  }
}
