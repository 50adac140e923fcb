/**
 * Packets of the GDB remote serial protocol, incoming: frames, checksums, escapes and run lengths. No I/O here: bytes in,
 * items out, the same for any cutting into chunks. GDB manual, "Remote Protocol: Overview", "Notification Packets".
 */

export type PacketItem =
  | { readonly kind: 'ack' }
  | { readonly kind: 'nak' }
  /** One character, U+0000 to U+00FF, for each byte of the payload. */
  | { readonly kind: 'packet'; readonly payload: string }
  /** As a packet, but not to be acknowledged. */
  | { readonly kind: 'notification'; readonly payload: string }
  /** A packet that cannot be used: its sender must repeat it. */
  | { readonly kind: 'damaged'; readonly reason: string }
  /** A packet that ended where another begins. */
  | { readonly kind: 'cut-short' };

/** A few times what stubs offer as PacketSize: QEMU's is 4 KiB. */
export const DEFAULT_MAX_PACKET_BYTES = 64 * 1024;

const SAMPLE_BYTES = 80;

const PLUS = 0x2b;
const MINUS = 0x2d;
const DOLLAR = 0x24;
const PERCENT = 0x25;
const HASH = 0x23;
const STAR = 0x2a;
const BRACE = 0x7d;

type State = 'between' | 'body' | 'high-digit' | 'low-digit';

/** Keeps at most one packet of `maxPacketByteLength` bytes, as received and as expanded. */
export class PacketDecoder {
  readonly #maxByteLength: number;
  #state: State = 'between';
  #isNotification = false;
  #body = new Uint8Array(256);
  #byteLength = 0;
  #sum = 0;
  #highDigit = 0;
  #noise = '';

  constructor(maxPacketByteLength: number = DEFAULT_MAX_PACKET_BYTES) {
    this.#maxByteLength = maxPacketByteLength;
  }

  /** The first of the bytes that belonged to no packet; empty while all did. */
  get noiseSample(): string {
    return this.#noise;
  }

  /** The items that this chunk completes. Never throws, whatever the bytes. */
  push(chunk: Uint8Array): PacketItem[] {
    const whole = this.#state === 'between' ? this.#wholePacket(chunk) : undefined;
    if (whole !== undefined) return [{ kind: 'packet', payload: whole }];
    const items: PacketItem[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#state === 'body') at = this.#append(chunk, at);
      // What ended the body, or a byte that is in none.
      if (at < chunk.length) this.#byte(chunk[at++]!, items);
    }
    return items;
  }

  /** The payload of a chunk that is one packet, and nothing else, as most are; undefined where more is to be looked at. */
  #wholePacket(chunk: Uint8Array): string | undefined {
    const end = chunk.length - 3;
    if (end < 1 || end > this.#maxByteLength || chunk[0] !== DOLLAR || chunk[end] !== HASH) return undefined;
    let sum = 0;
    for (let at = 1; at < end; at++) {
      const byte = chunk[at]!;
      if (byte === HASH || byte === DOLLAR || byte === STAR || byte === BRACE) return undefined;
      sum += byte;
    }
    const checksum = (hexDigit(chunk[end + 1]!) << 4) | hexDigit(chunk[end + 2]!);
    return checksum === (sum & 0xff) ? charactersOf(chunk.subarray(1, end)) : undefined;
  }

  #byte(byte: number, items: PacketItem[]): void {
    switch (this.#state) {
      case 'between':
        return this.#between(byte, items);
      case 'body':
        if (byte === HASH) this.#state = 'high-digit';
        else this.#cutShort(items);
        return;
      case 'high-digit':
        this.#highDigit = hexDigit(byte);
        if (byte === DOLLAR) this.#cutShort(items);
        else this.#state = 'low-digit';
        return;
      case 'low-digit':
        if (byte === DOLLAR) return this.#cutShort(items);
        this.#state = 'between';
        return this.#complete((this.#highDigit << 4) | hexDigit(byte), items);
    }
  }

  #between(byte: number, items: PacketItem[]): void {
    if (byte === PLUS) items.push({ kind: 'ack' });
    else if (byte === MINUS) items.push({ kind: 'nak' });
    else if (byte === DOLLAR || byte === PERCENT) this.#begin(byte === PERCENT);
    else if (this.#noise.length < SAMPLE_BYTES) this.#noise += String.fromCharCode(byte);
  }

  #begin(isNotification: boolean): void {
    this.#state = 'body';
    this.#isNotification = isNotification;
    this.#byteLength = 0;
    this.#sum = 0;
  }

  /** An unescaped `$` is in no packet: the rest of this one was lost. */
  #cutShort(items: PacketItem[]): void {
    if (!this.#isNotification) items.push({ kind: 'cut-short' });
    this.#begin(false);
  }

  /** Takes the body from `start` on, and returns where it ends: at `#`, at `$`, or with the chunk. */
  #append(chunk: Uint8Array, start: number): number {
    let at = start;
    let sum = this.#sum;
    for (; at < chunk.length; at++) {
      const byte = chunk[at]!;
      if (byte === HASH || byte === DOLLAR) break;
      sum += byte;
    }
    this.#sum = sum & 0xff;
    this.#keep(chunk.subarray(start, at));
    return at;
  }

  #keep(part: Uint8Array): void {
    const end = this.#byteLength + part.length;
    if (end <= this.#maxByteLength) {
      if (end > this.#body.length) {
        const grown = new Uint8Array(Math.min(Math.max(end, this.#body.length * 2), this.#maxByteLength));
        grown.set(this.#body.subarray(0, this.#byteLength));
        this.#body = grown;
      }
      this.#body.set(part, this.#byteLength);
    }
    // The length goes on counting, so that the end can tell.
    this.#byteLength = end;
  }

  /** `checksum` is not between 0 and 255 where a digit was none. */
  #complete(checksum: number, items: PacketItem[]): void {
    const payload = this.#payload(checksum);
    if (typeof payload === 'string') {
      items.push({ kind: this.#isNotification ? 'notification' : 'packet', payload });
    } else if (!this.#isNotification) {
      items.push({ kind: 'damaged', reason: payload.fault });
    }
  }

  #payload(checksum: number): string | { readonly fault: string } {
    if (this.#byteLength > this.#maxByteLength) return { fault: `longer than ${this.#maxByteLength} bytes` };
    if (checksum !== this.#sum) return { fault: 'wrong checksum' };
    const body = this.#body.subarray(0, this.#byteLength);
    if (!body.includes(STAR) && !body.includes(BRACE)) return charactersOf(body);
    return this.#expand(body);
  }

  #expand(body: Uint8Array): string | { readonly fault: string } {
    let payload = '';
    for (let at = 0; at < body.length; at++) {
      const byte = body[at]!;
      if (byte === BRACE) {
        if (++at === body.length) return { fault: 'escape without a character' };
        payload += String.fromCharCode(body[at]! ^ 0x20);
      } else if (byte === STAR) {
        // The count is a printable character: 29 more than how often the character before it is repeated.
        const count = (body[++at] ?? 0) - 29;
        if (payload === '' || count < 3 || count > 97) return { fault: 'malformed run length' };
        payload += payload.charAt(payload.length - 1).repeat(count);
      } else {
        payload += String.fromCharCode(byte);
      }
      if (payload.length > this.#maxByteLength) return { fault: `longer than ${this.#maxByteLength} bytes, expanded` };
    }
    return payload;
  }
}

function charactersOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

/** 256 for what is no digit: no sum is that. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : 0x100;
}
