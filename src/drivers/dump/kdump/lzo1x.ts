/**
 * LZO1X, decompression only. From the description of the stream in the kernel's Documentation/staging/lzo.rst.
 *
 * The stream is instructions, each with literals behind it or not. What an instruction below 16 means depends on how many literals the
 * one before it had: none, 1 to 3, or a long run of them (counted as 4 here).
 */

/** Decompresses all of `input` into `output`, which it fills exactly. @throws Error for a stream that does not */
export function decompressLzo1x(input: Uint8Array, output: Uint8Array): void {
  const reader = new Reader(input);
  const writer = new Writer(output);
  let literals = 0;
  const first = input[0] ?? 0;
  if (first > 17) {
    reader.at = 1;
    literals = first - 17;
    writer.literals(reader, literals);
    // A run of 4 and more is the long run.
    literals = Math.min(literals, 4);
  }
  for (;;) {
    const code = reader.byte();
    if (code < 16 && literals === 0) {
      writer.literals(reader, 3 + reader.length(code, 15));
      literals = 4;
      continue;
    }
    let distance: number;
    let length: number;
    let tail = code;
    if (code < 16) {
      length = literals === 4 ? 3 : 2;
      distance = (reader.byte() << 2) + (code >> 2) + (literals === 4 ? 2049 : 1);
    } else if (code < 32) {
      length = 2 + reader.length(code & 7, 7);
      tail = reader.word();
      distance = 16384 + ((code & 8) << 11) + (tail >> 2);
      if (distance === 16384) break;
    } else if (code < 64) {
      length = 2 + reader.length(code & 31, 31);
      tail = reader.word();
      distance = (tail >> 2) + 1;
    } else {
      length = code < 128 ? 3 + ((code >> 5) & 1) : 5 + ((code >> 5) & 3);
      distance = (reader.byte() << 3) + ((code >> 2) & 7) + 1;
    }
    writer.copy(distance, length);
    literals = tail & 3;
    writer.literals(reader, literals);
  }
  if (reader.at !== input.length)
    throw new Error(`the LZO stream ends ${input.length - reader.at} bytes before its data`);
  if (writer.at !== output.length) throw new Error(`the LZO stream makes ${writer.at} bytes, not ${output.length}`);
}

class Reader {
  readonly input: Uint8Array;
  at = 0;

  constructor(input: Uint8Array) {
    this.input = input;
  }

  byte(): number {
    const value = this.input[this.at++];
    if (value === undefined) throw new Error('the LZO stream is cut off');
    return value;
  }

  word(): number {
    return this.byte() | (this.byte() << 8);
  }

  /** A length that fits into the instruction, or goes on behind it: 0, then `most` and 255 for each byte that is 0. */
  length(inside: number, most: number): number {
    if (inside !== 0) return inside;
    let length = most;
    for (;;) {
      const byte = this.byte();
      if (byte !== 0) return length + byte;
      length += 255;
    }
  }
}

class Writer {
  readonly output: Uint8Array;
  at = 0;

  constructor(output: Uint8Array) {
    this.output = output;
  }

  literals(reader: Reader, count: number): void {
    const end = reader.at + count;
    if (end > reader.input.length) throw new Error('the LZO stream is cut off');
    if (this.at + count > this.output.length)
      throw new Error(`the LZO stream makes more than ${this.output.length} bytes`);
    for (; reader.at < end; reader.at++) this.output[this.at++] = reader.input[reader.at]!;
  }

  copy(distance: number, length: number): void {
    if (distance > this.at) throw new Error('the LZO stream copies from before its start');
    if (this.at + length > this.output.length)
      throw new Error(`the LZO stream makes more than ${this.output.length} bytes`);
    for (const end = this.at + length; this.at < end; this.at++)
      this.output[this.at] = this.output[this.at - distance]!;
  }
}
