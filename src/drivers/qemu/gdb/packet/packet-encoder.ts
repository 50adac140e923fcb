/**
 * Packets of the GDB remote serial protocol, outgoing: `$` payload `#` checksum. GDB manual, "Remote Protocol: Overview".
 *
 * Payloads are strings with one character, U+0000 to U+00FF, for each byte.
 */

/** What must not stand in a payload as it is: `#` and `$` frame it, `}` escapes, `*` repeats. */
const RESERVED = /[#$}*]/g;

export const ACK = '+';
export const NAK = '-';
/** Stops a running target; not a packet. */
const INTERRUPT = '\x03';

/**
 * Stops a target that any client has resumed, and does nothing to a stopped one. While QEMU waits for an acknowledgement it passes
 * over an interrupt; hence an acknowledgement, and a second interrupt.
 */
export const HALT = INTERRUPT + ACK + INTERRUPT;

/**
 * Stops a running target as well, and tells who stopped it. QEMU takes the first byte that reaches a running target for an interrupt, and
 * passes over the rest. One that something else has stopped just before answers the question.
 */
export const PROBE = framePacket('qAttached');
export const PROBE_REPLY = /^[01]?$/;

/** The payload in its frame, as characters. */
export function framePacket(payload: string): string {
  const body = payload.replace(RESERVED, (character) => `}${String.fromCharCode(character.charCodeAt(0) ^ 0x20)}`);
  let sum = 0;
  for (let at = 0; at < body.length; at++) sum += body.charCodeAt(at);
  return `$${body}#${(sum & 0xff).toString(16).padStart(2, '0')}`;
}

/**
 * A command in its frame, behind what halts a target that another client has let run. QEMU takes the first byte that reaches one that
 * runs for an interrupt, and passes over what is left of the packet: the command would be lost, and never answered.
 */
export function frameCommand(payload: string): string {
  return HALT + framePacket(payload);
}

/** Characters as the bytes that they stand for. */
export function bytesOfCharacters(characters: string): Uint8Array {
  return Buffer.from(characters, 'latin1');
}
