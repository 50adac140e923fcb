/** A flattened dump as the dump that it stands for: QEMU writes its kdumps so, and makedumpfile -F. */
import { hex } from '../../../core/address/va.ts';
import type { LongWorkOptions } from '../../../driver/pacer.ts';
import { corrupt, type DumpBytes } from '../dump-bytes.ts';
import { RecordIndex } from './record-index.ts';

const SIGNATURE = 'makedumpfile\0\0\0\0';
/** The only type and version there are (makedumpfile.h, `makedumpfile_header`). */
const TYPE_FLAT = 1n;
const VERSION_FLAT = 1n;

/** @param head the first bytes of a file */
export function isFlattened(head: Buffer): boolean {
  return head.toString('latin1', 0, SIGNATURE.length) === SIGNATURE;
}

export class FlattenedBytes implements DumpBytes {
  readonly name: string;
  readonly byteLength: number;
  /** Whether records are missing at the end. */
  readonly isCut: boolean;
  readonly warnings: readonly string[];
  readonly #bytes: DumpBytes;
  readonly #index: RecordIndex;

  private constructor(bytes: DumpBytes, index: RecordIndex) {
    this.name = bytes.name;
    this.byteLength = index.end;
    this.isCut = index.cutAt !== undefined;
    this.warnings =
      index.cutAt === undefined
        ? []
        : [`the flattened file is truncated at offset ${hex(index.cutAt)}: records are missing`];
    this.#bytes = bytes;
    this.#index = index;
  }

  /** @throws PtmonError `corrupt-input`; the reason of the signal when it is aborted */
  static async open(bytes: DumpBytes, head: Buffer, options?: LongWorkOptions): Promise<FlattenedBytes> {
    if (head.length < 32) throw corrupt(bytes.name, 0, 'the header of the flattened format is cut off');
    const [type, version] = [head.readBigInt64BE(16), head.readBigInt64BE(24)];
    if (type !== TYPE_FLAT || version !== VERSION_FLAT) {
      throw corrupt(bytes.name, 16, `type ${type}, version ${version} of the flattened format is not known`);
    }
    return new FlattenedBytes(bytes, await RecordIndex.read(bytes, options));
  }

  /** What no record has is zeroes, as in the holes of a file. */
  read(into: Uint8Array, position: number): void {
    const end = position + into.length;
    if (end > this.byteLength) {
      throw corrupt(
        this.name,
        position,
        `the flattened dump ends at ${this.byteLength}, before ${into.length} bytes are read`,
      );
    }
    into.fill(0);
    for (const piece of this.#index.find(position, into.length)) {
      const from = Math.max(position, piece.target);
      const to = Math.min(end, piece.target + piece.byteLength);
      this.#bytes.read(into.subarray(from - position, to - position), piece.position + (from - piece.target));
    }
  }

  /** Where records are missing, what no record has is not known to be zeroes. */
  has(position: number, byteLength: number): boolean {
    return !this.isCut || this.#index.covers(position, byteLength);
  }

  check(): void {
    this.#bytes.check();
  }

  close(): void {
    this.#bytes.close();
  }
}
