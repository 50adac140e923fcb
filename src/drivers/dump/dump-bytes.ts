/** What every format of dumps is read from: bytes at positions, of which little is held at a time. */
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import type { PositionedSource } from '../ramfile/index.ts';

export interface DumpBytes extends PositionedSource {
  readonly byteLength: number;
  /**
   * Fills `into` with the bytes at `position`.
   *
   * @throws PtmonError `corrupt-input` beyond the end; as `PositionedSource`
   */
  read(into: Uint8Array, position: number): void;
  /** Whether the file ends too early, so that some of the bytes below `byteLength` may be missing (`hasBytes`). */
  readonly isCut?: boolean;
  /** What is wrong with the file itself, a sentence each. */
  readonly warnings?: readonly string[];
  /** Whether these bytes are in the file; absent where all below `byteLength` are. */
  has?(position: number, byteLength: number): boolean;
}

/** Whether all of these bytes can be read. */
export function hasBytes(bytes: DumpBytes, position: number, byteLength: number): boolean {
  if (!(position >= 0 && byteLength >= 0 && position + byteLength <= bytes.byteLength)) return false;
  return bytes.has?.(position, byteLength) ?? true;
}

/** What is wrong with a file, and where in it. */
export function corrupt(name: string, offset: number, why: string, cause?: unknown): PtmonError {
  return new PtmonError('corrupt-input', `${name}: at offset ${hex(offset)}: ${why}`, { offset }, { cause });
}

/**
 * Bytes of a header, which is `what` in a message.
 *
 * @throws PtmonError `corrupt-input` where the file ends before
 */
export function readPart(bytes: DumpBytes, position: number, byteLength: number, what: string): Buffer {
  expectInside(bytes, position, byteLength, what);
  const part = Buffer.alloc(byteLength);
  bytes.read(part, position);
  return part;
}

/** @throws PtmonError `corrupt-input` for what is not wholly in the file */
export function expectInside(bytes: DumpBytes, position: number, byteLength: number, what: string): void {
  if (hasBytes(bytes, position, byteLength)) return;
  throw corrupt(
    bytes.name,
    position,
    `${what} of ${byteLength} bytes does not fit: the file has ${bytes.byteLength} bytes`,
  );
}

/** An unsigned 64-bit value as a number; above 2^53, where no position or address is, it is no longer exact. */
export function readU64(part: Buffer, at: number): number {
  return part.readUInt32LE(at + 4) * 2 ** 32 + part.readUInt32LE(at);
}
