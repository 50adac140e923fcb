/** Which pages a kdump that ends too early, or was not written to its end, names in its bitmap and does not have. */
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import { type DumpBytes, hasBytes, readU64 } from '../dump-bytes.ts';
import { DUMP_INCOMPLETE, type KdumpHeader } from './kdump-header.ts';

export const DESCRIPTOR_BYTES = 24;

/** Descriptors that are read at once. */
const BATCH = 4096;

export class CutPages {
  readonly #bytes: DumpBytes;
  readonly #descriptors: number;
  readonly #batch = Buffer.alloc(BATCH * DESCRIPTOR_BYTES);
  #first = -1;
  /** Of the batch, in descriptors; -1 where they are to be read one by one. */
  #length = 0;

  /** @param descriptors position of the first */
  constructor(bytes: DumpBytes, { descriptors }: KdumpHeader) {
    this.#bytes = bytes;
    this.#descriptors = descriptors;
  }

  /**
   * Whether pages can be missing: the header says so, descriptors are missing, or the last page that was written is. Pages of zeroes
   * share one place in the file, so the last ones may be alike.
   */
  static areLikely(bytes: DumpBytes, header: KdumpHeader, total: number): boolean {
    if (total === 0) return false;
    if (bytes.isCut === true || (header.status & DUMP_INCOMPLETE) !== 0) return true;
    if (!hasBytes(bytes, header.descriptors, total * DESCRIPTOR_BYTES)) return true;
    const descriptor = Buffer.alloc(DESCRIPTOR_BYTES);
    let last: number | undefined;
    for (let place = total - 1; place >= 0; place--) {
      bytes.read(descriptor, header.descriptors + place * DESCRIPTOR_BYTES);
      if (isMissing(bytes, descriptor)) return true;
      const position = readU64(descriptor, 0);
      if (position !== (last ??= position)) return false;
    }
    return false;
  }

  /** Whether the page with the descriptor at `place` is missing; to be asked in ascending order. */
  isMissing(place: number): boolean {
    const first = place - (place % BATCH);
    if (first !== this.#first) this.#fill(first);
    const at = (place - first) * DESCRIPTOR_BYTES;
    const descriptor = this.#batch.subarray(at, at + DESCRIPTOR_BYTES);
    if (this.#length < 0) {
      const position = this.#descriptors + place * DESCRIPTOR_BYTES;
      if (!hasBytes(this.#bytes, position, DESCRIPTOR_BYTES)) return true;
      this.#bytes.read(descriptor, position);
    }
    return isMissing(this.#bytes, descriptor);
  }

  #fill(first: number): void {
    this.#first = first;
    const position = this.#descriptors + first * DESCRIPTOR_BYTES;
    this.#length = hasBytes(this.#bytes, position, this.#batch.length) ? BATCH : -1;
    if (this.#length > 0) this.#bytes.read(this.#batch, position);
  }
}

/** A place beyond the file, or none. A descriptor of another fault is a spoiled page, which is an error where it is read. */
function isMissing(bytes: DumpBytes, descriptor: Buffer): boolean {
  const [position, byteLength] = [readU64(descriptor, 0), descriptor.readUInt32LE(8)];
  return position === 0 || (byteLength <= PAGE_BYTES && !hasBytes(bytes, position, byteLength));
}
