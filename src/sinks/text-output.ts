/** Text (or bytes) to a stream that may be slow, may fail, and may lose its reader. */
import type { Writable } from 'node:stream';

/** What a stream says when whoever read it has gone (`| head`): not an error, only the end of the interest. */
const READER_GONE = new Set(['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END']);

/**
 * Writes with back-pressure. A reader that has gone makes every later write do nothing and aborts `closed`; any other error of
 * the stream is thrown by the next call. The stream stays its maker's: it is flushed, never ended.
 */
export class TextOutput {
  readonly stream: Writable;
  readonly #closed = new AbortController();
  #failure: Error | undefined;
  #waiting: (() => void)[] = [];

  constructor(stream: Writable) {
    this.stream = stream;
    stream.on('drain', () => this.#wake());
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (READER_GONE.has(error.code ?? '')) this.#closed.abort();
      else this.#failure ??= error;
      this.#wake();
    });
    stream.on('close', () => {
      if (this.#failure === undefined) this.#closed.abort();
      this.#wake();
    });
  }

  /** Aborted once nobody reads any more. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Returns a promise only where the stream wants its writer to wait. @throws the stream's error */
  write(text: string | Uint8Array): void | Promise<void> {
    this.#rethrow();
    if (this.closed.aborted || this.stream.write(text) || !this.stream.writableNeedDrain) return;
    return new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    }).then(() => this.#rethrow());
  }

  /** Resolves when all that was written has left the process, or nobody wants it. @throws the stream's error */
  async flush(): Promise<void> {
    this.#rethrow();
    if (this.closed.aborted) return;
    // The callback comes after those of all earlier writes, and with an error where the stream is lost meanwhile.
    await new Promise<void>((resolve) => {
      this.stream.write('', () => resolve());
    });
    // The stream calls back before it emits `error`.
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    this.#rethrow();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  #rethrow(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
