/** Hexadecimal digits as the GDB remote protocol uses them: two a byte; numbers in the target's byte order, here little-endian. */

const BYTES = /^(?:[0-9a-f]{2})*$/i;

/** The bytes that the digits stand for; undefined where they are not pairs of digits. */
export function bytesOfHex(digits: string): Uint8Array | undefined {
  return BYTES.test(digits) ? Buffer.from(digits, 'hex') : undefined;
}

/** The unsigned number whose little-endian bytes the digits are; undefined where they are not pairs of digits. */
export function littleEndianOfHex(digits: string): bigint | undefined {
  if (digits === '' || !BYTES.test(digits)) return undefined;
  const bytes = Buffer.from(digits, 'hex').reverse();
  return BigInt(`0x${bytes.toString('hex')}`);
}

/** A number that the protocol writes with the highest digit first; undefined where it is none. */
export function numberOfHex(digits: string): bigint | undefined {
  return /^[0-9a-f]{1,16}$/i.test(digits) ? BigInt(`0x${digits}`) : undefined;
}
