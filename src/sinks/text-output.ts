/** Writes text or bytes to a stream that may be slow, may fail, and may lose its reader. */
import type { Writable } from 'node:stream';

/** The errors of a stream whose reader closed it (`| head`). They end the output, and are no failures. */
const READER_GONE = new Set(['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END']);

/**
 * Writes with back-pressure. After the reader closes the stream, writes do nothing and `closed` is aborted. The next call throws any
 * other error of the stream. The stream is flushed, never ended.
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

  /** Aborted once the reader has closed the stream. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Returns a promise only if the stream needs to drain. @throws the error of the stream */
  write(text: string | Uint8Array): void | Promise<void> {
    this.#rethrow();
    if (this.closed.aborted || this.stream.write(text) || !this.stream.writableNeedDrain) return;
    return new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    }).then(() => this.#rethrow());
  }

  /** Resolves when all text has left the process, or the reader has closed the stream. @throws the error of the stream */
  async flush(): Promise<void> {
    this.#rethrow();
    if (this.closed.aborted) return;
    // This callback follows those of all earlier writes; it has an error if the stream is lost meanwhile.
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
