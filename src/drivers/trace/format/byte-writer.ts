/** Bytes one after the other, in a buffer that grows. */

export class ByteWriter {
  #buffer = Buffer.alloc(1024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** What was written: valid until the next write. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  u8(value: number): void {
    this.#room(1)[this.#length++] = value;
  }

  /** Seven bits a byte, the lowest first, the top bit set on all but the last (LEB128). @param value whole, from 0 to 2^53 - 1 */
  varint(value: number): void {
    const buffer = this.#room(8);
    let rest = value;
    while (rest >= 0x80) {
      buffer[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    buffer[this.#length++] = rest;
  }

  /** Eight bytes, the lowest first. */
  words(lo: number, hi: number): void {
    const buffer = this.#room(8);
    this.#length = buffer.writeUInt32LE(lo, this.#length);
    this.#length = buffer.writeUInt32LE(hi, this.#length);
  }

  u64(value: bigint): void {
    this.#length = this.#room(8).writeBigUInt64LE(value, this.#length);
  }

  f64(value: number): void {
    this.#length = this.#room(8).writeDoubleLE(value, this.#length);
  }

  utf8(text: string): void {
    this.append(Buffer.from(text));
  }

  append(bytes: Uint8Array): void {
    this.#room(bytes.length).set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #room(byteLength: number): Buffer {
    const wanted = this.#length + byteLength;
    if (wanted > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(wanted, 2 * this.#buffer.length));
      this.#buffer.copy(larger, 0, 0, this.#length);
      this.#buffer = larger;
    }
    return this.#buffer;
  }
}
