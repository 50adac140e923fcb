/** QMP on the wire: a JSON object a line. No I/O here: bytes in, messages out; commands in, bytes out. */
import { classify, isObject, type QmpMessage, type QmpObject } from './messages.ts';
import { LineSplitter } from './line-splitter.ts';

/** More than `info tlb` of a guest with many mappings; a peer that sends a longer line is not QEMU. */
export const DEFAULT_MAX_LINE_BYTES = 64 * 1024 * 1024;

const SAMPLE_CHARACTERS = 80;

/** A command as one line of JSON. */
export function encodeQmpCommand(command: string, args: QmpObject | undefined, id: number): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
}

/** Makes messages of bytes: the same for any cutting into chunks, and never more than one line in memory. */
export class QmpDecoder {
  readonly #lines: LineSplitter;
  readonly #maxLineByteLength: number;
  readonly #text = new TextDecoder('utf-8', { fatal: true });

  constructor(maxLineByteLength: number = DEFAULT_MAX_LINE_BYTES) {
    this.#lines = new LineSplitter(maxLineByteLength);
    this.#maxLineByteLength = maxLineByteLength;
  }

  /** Bytes of a message that is not complete yet. */
  get pendingByteLength(): number {
    return this.#lines.pendingByteLength;
  }

  /** The beginning of an incomplete message, human-readable. */
  get pendingSample(): string {
    return sampleOf(this.#lines.pendingSample);
  }

  /** The messages that this chunk completes. Never throws: what is not QMP is a message of kind `violation`. */
  push(chunk: Uint8Array): QmpMessage[] {
    const messages: QmpMessage[] = [];
    for (const { bytes, tooLong } of this.#lines.push(chunk)) {
      const message = tooLong
        ? violation(`a line of more than ${this.#maxLineByteLength} bytes`, bytes)
        : this.#decode(bytes);
      if (message !== undefined) messages.push(message);
    }
    return messages;
  }

  #decode(line: Uint8Array): QmpMessage | undefined {
    let value: unknown;
    try {
      const text = this.#text.decode(line);
      if (text.trim() === '') return undefined;
      value = JSON.parse(text);
    } catch {
      return violation('a line that is not JSON', line);
    }
    return isObject(value) ? classify(value) : violation('a line that is not a JSON object', line);
  }
}

function violation(reason: string, bytes: Uint8Array): QmpMessage {
  return { kind: 'violation', reason, sample: sampleOf(bytes) };
}

/** Of bytes that may be anything: the first of them, safe to print. */
function sampleOf(bytes: Uint8Array): string {
  const text = String.fromCharCode(...bytes.subarray(0, SAMPLE_CHARACTERS));
  return text.trim().replace(/[^ -~]/g, '·');
}
