/** Bytes one after the other, never past their end. */
import { corrupt } from './corrupt.ts';

export class ByteReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  /** From the beginning of the buffer. */
  get position(): number {
    return this.#at;
  }

  get left(): number {
    return this.#end - this.#at;
  }

  u8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  /** @throws PtmonError `corrupt-input` also above 2^53 - 1 */
  varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (value > Number.MAX_SAFE_INTEGER || scale > 2 ** 49) throw corrupt('a number is above 2^53');
      if (byte < 0x80) return value;
    }
  }

  /** The low word of eight bytes, and the high one. */
  u32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  u64(): bigint {
    return this.#bytes.readBigUInt64LE(this.#take(8));
  }

  f64(): number {
    return this.#bytes.readDoubleLE(this.#take(8));
  }

  /** All that is left, as text. */
  utf8(): string {
    return this.#bytes.toString('utf8', this.#take(this.left), this.#end);
  }

  /** The next `byteLength` bytes, to be read by themselves. */
  part(byteLength: number): ByteReader {
    const at = this.#take(byteLength);
    return new ByteReader(this.#bytes, at, at + byteLength);
  }

  #take(byteLength: number): number {
    const at = this.#at;
    if (byteLength > this.#end - at) throw corrupt(`${byteLength} bytes are expected where ${this.#end - at} are left`);
    this.#at = at + byteLength;
    return at;
  }
}
