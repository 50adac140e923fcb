/** Guest memory through a gdbstub: GDB manual, "Packets", m and M; QEMU's `Qqemu.PhyMemMode` makes its addresses physical. */
import { PtmonError } from '../../../core/error.ts';
import type { GdbConnection } from './connection.ts';
import { faultOfReply } from './reply/error-reply.ts';
import { bytesOfHex } from './reply/hex.ts';

export interface MemoryRange {
  /** Physical or virtual, as the call says. */
  readonly address: bigint;
  readonly byteLength: number;
}

/** A packet of a command is at most 4,096 bytes (gdbstub.c, MAX_PACKET_LENGTH): two digits a byte. */
const MAX_WRITE_BYTES = 1024;

type AddressKind = 'physical' | 'virtual';

/** The part of a range that one packet asks for. */
interface Piece {
  readonly address: bigint;
  readonly into: Uint8Array;
}

export class MemoryReader {
  readonly #connection: GdbConnection;
  readonly #maxPieceByteLength: number;
  #kind: AddressKind | undefined;

  /** @param packetByteLength the longest payload of a reply; two of its digits are a byte */
  constructor(connection: GdbConnection, packetByteLength: number) {
    this.#connection = connection;
    this.#maxPieceByteLength = Math.floor(packetByteLength / 2);
  }

  /**
   * The bytes of each range.
   *
   * @throws PtmonError `bad-argument` for a length that is none, `read-failed` where the stub refuses an address, `source-unavailable`
   *   where it knows no physical addresses, `corrupt-input` where it sends what is no memory, and as `GdbConnection.exchange`
   */
  async read(kind: AddressKind, ranges: readonly MemoryRange[]): Promise<Uint8Array[]> {
    const wrong = ranges.find(({ byteLength }) => !Number.isSafeInteger(byteLength) || byteLength < 0);
    if (wrong !== undefined) throw new PtmonError('bad-argument', `${wrong.byteLength} is not a number of bytes`);
    await this.#switchTo(kind);
    const buffers = ranges.map(({ byteLength }) => new Uint8Array(byteLength));
    let pieces = ranges.flatMap(({ address }, at) => this.#piecesOf(address, buffers[at]!));
    while (pieces.length > 0) pieces = await this.#readPieces(kind, pieces);
    return buffers;
  }

  /** @throws as `read`; the first bytes may be written then */
  async writePhysical(address: bigint, bytes: Uint8Array): Promise<void> {
    await this.#switchTo('physical');
    for (let at = 0; at < bytes.length; at += MAX_WRITE_BYTES) {
      const piece = bytes.subarray(at, at + MAX_WRITE_BYTES);
      const where = (address + BigInt(at)).toString(16);
      const hex = Buffer.from(piece).toString('hex');
      const reply = await this.#connection.request(`M${where},${piece.length.toString(16)}:${hex}`);
      if (reply === 'OK') continue;
      const what = faultOfReply(reply) ?? `it answered "${reply.slice(0, 40)}"`;
      throw new PtmonError(
        'read-failed',
        `${this.#connection.address}: physical address 0x${where} cannot be written (${what})`,
      );
    }
  }

  /** The command that leaves the stub as it was found; undefined where nothing was changed. */
  get restoringCommand(): string | undefined {
    return this.#kind === 'physical' ? modeCommand('virtual') : undefined;
  }

  async #switchTo(kind: AddressKind): Promise<void> {
    if (this.#kind === kind) return;
    // If the command fails, its effect is unknown.
    this.#kind = undefined;
    const fault = faultOfReply(await this.#connection.request(modeCommand(kind)));
    // A stub that knows no physical addresses is right about the virtual ones.
    if (fault !== undefined && kind === 'physical') {
      throw new PtmonError(
        'source-unavailable',
        `${this.#connection.address}: the gdbstub does not read physical memory (${fault}): ptmon needs QEMU 4.1 or newer`,
      );
    }
    this.#kind = kind;
  }

  #piecesOf(address: bigint, into: Uint8Array): Piece[] {
    const pieces: Piece[] = [];
    for (let at = 0; at < into.length; at += this.#maxPieceByteLength) {
      pieces.push({ address: address + BigInt(at), into: into.subarray(at, at + this.#maxPieceByteLength) });
    }
    return pieces;
  }

  /** What is left to read: a stub may answer with fewer bytes than it was asked for. */
  async #readPieces(kind: AddressKind, pieces: readonly Piece[]): Promise<Piece[]> {
    const commands = pieces.map(({ address, into }) => `m${address.toString(16)},${into.length.toString(16)}`);
    const replies = await this.#connection.exchangeRepeatable(commands);
    const left: Piece[] = [];
    for (const [at, { address, into }] of pieces.entries()) {
      const bytes = this.#bytesOf(replies[at]!, kind, address, into.length);
      into.set(bytes);
      if (bytes.length < into.length) {
        left.push({ address: address + BigInt(bytes.length), into: into.subarray(bytes.length) });
      }
    }
    return left;
  }

  #bytesOf(reply: string, kind: AddressKind, address: bigint, byteLength: number): Uint8Array {
    const where = `${this.#connection.address}: the ${kind} address 0x${address.toString(16)}`;
    const fault = faultOfReply(reply);
    if (fault !== undefined) throw new PtmonError('read-failed', `${where} cannot be read (${fault})`);
    const bytes = bytesOfHex(reply);
    if (bytes !== undefined && bytes.length > 0 && bytes.length <= byteLength) return bytes;
    throw new PtmonError(
      'corrupt-input',
      `${where} cannot be read: the gdbstub did not send ${byteLength} bytes of memory`,
    );
  }
}

function modeCommand(kind: AddressKind): string {
  return `Qqemu.PhyMemMode:${kind === 'physical' ? 1 : 0}`;
}
