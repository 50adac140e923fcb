/** Reads a file from its beginning to its end, big-endian, a window of it at a time. */
import { corrupt, type DumpBytes } from '../dump-bytes.ts';

const WINDOW_BYTES = 2 ** 16;

export class StreamReader {
  readonly #bytes: DumpBytes;
  #position: number;
  #window = Buffer.alloc(0);
  #start = 0;

  constructor(bytes: DumpBytes, position: number) {
    this.#bytes = bytes;
    this.#position = position;
  }

  get position(): number {
    return this.#position;
  }

  get isAtEnd(): boolean {
    return this.#position >= this.#bytes.byteLength;
  }

  skip(byteLength: number): void {
    this.#expect(byteLength);
    this.#position += byteLength;
  }

  u8(): number {
    return this.#take(1).readUInt8(0);
  }

  u32(): number {
    return this.#take(4).readUInt32BE(0);
  }

  /** Above 2^53, where nothing is, no longer exact. */
  u64(): number {
    const part = this.#take(8);
    return part.readUInt32BE(0) * 2 ** 32 + part.readUInt32BE(4);
  }

  /** A name, its length in a byte before it. */
  text(): string {
    return this.#take(this.u8()).toString('latin1');
  }

  #take(byteLength: number): Buffer {
    this.#expect(byteLength);
    const at = this.#position - this.#start;
    if (at < 0 || at + byteLength > this.#window.length) this.#fill();
    const from = this.#position - this.#start;
    this.#position += byteLength;
    return this.#window.subarray(from, from + byteLength);
  }

  #fill(): void {
    this.#start = this.#position;
    this.#window = Buffer.alloc(Math.min(WINDOW_BYTES, this.#bytes.byteLength - this.#start));
    this.#bytes.read(this.#window, this.#start);
  }

  #expect(byteLength: number): void {
    if (this.#position + byteLength <= this.#bytes.byteLength) return;
    throw corrupt(this.#bytes.name, this.#position, 'the stream ends early: it is truncated');
  }
}
