/** Cuts a stream of bytes into lines of bounded length. */

/** A line without its end, or the beginning of one that is too long. */
export interface Line {
  readonly bytes: Uint8Array;
  readonly tooLong: boolean;
}

/** Of a line that is too long, as much as helps to recognise it. */
const SAMPLE_BYTES = 80;

const NEWLINE = 0x0a;

/** The same lines for any cutting of the stream into chunks; keeps at most `maxByteLength` bytes. */
export class LineSplitter {
  readonly #maxByteLength: number;
  #parts: Uint8Array[] = [];
  #byteLength = 0;
  /** The rest of a line that was reported as too long is passed over. */
  #skipping = false;

  constructor(maxByteLength: number) {
    this.#maxByteLength = maxByteLength;
  }

  /** How many bytes of a line wait for its end. */
  get pendingByteLength(): number {
    return this.#byteLength;
  }

  /** The beginning of the line that waits for its end. */
  get pendingSample(): Uint8Array {
    return joined(this.#parts, this.#byteLength).subarray(0, SAMPLE_BYTES);
  }

  push(chunk: Uint8Array): Line[] {
    const lines: Line[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#append(chunk.subarray(start, end), lines);
      if (!this.#skipping) lines.push({ bytes: this.#take(), tooLong: false });
      this.#skipping = false;
      start = end + 1;
    }
    this.#append(chunk.subarray(start), lines);
    return lines;
  }

  #append(part: Uint8Array, lines: Line[]): void {
    if (this.#skipping || part.length === 0) return;
    this.#parts.push(part);
    this.#byteLength += part.length;
    if (this.#byteLength <= this.#maxByteLength) return;
    // Not more than must have come, whatever the chunks.
    lines.push({ bytes: this.#take().slice(0, Math.min(SAMPLE_BYTES, this.#maxByteLength)), tooLong: true });
    this.#skipping = true;
  }

  #take(): Uint8Array {
    const line = joined(this.#parts, this.#byteLength);
    this.#parts = [];
    this.#byteLength = 0;
    return line;
  }
}

function joined(parts: readonly Uint8Array[], byteLength: number): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(byteLength);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
