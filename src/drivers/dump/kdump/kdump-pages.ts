/** The pages of a kdump as bytes at physical addresses. */
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import { hex } from '../../../core/address/va.ts';
import type { PositionedSource } from '../../ramfile/index.ts';
import { corrupt, type DumpBytes, readU64 } from '../dump-bytes.ts';
import { decompressPage } from './decompress.ts';
import { DUMP_INCOMPLETE, type KdumpHeader } from './kdump-header.ts';
import { DESCRIPTOR_BYTES } from './cut-pages.ts';
import type { PageIndex } from './page-index.ts';

export class KdumpPages implements PositionedSource {
  readonly name: string;
  readonly #bytes: DumpBytes;
  readonly #header: KdumpHeader;
  readonly #index: PageIndex;
  readonly #descriptor = Buffer.alloc(DESCRIPTOR_BYTES);
  readonly #stored = Buffer.alloc(PAGE_BYTES);
  readonly #page = Buffer.alloc(PAGE_BYTES);

  constructor(bytes: DumpBytes, header: KdumpHeader, index: PageIndex) {
    this.name = bytes.name;
    this.#bytes = bytes;
    this.#header = header;
    this.#index = index;
  }

  /**
   * Pages that are RAM and were left out of the file are zeroes: among pages that a page table leads to, only those that hold nothing
   * else are ever left out.
   *
   * @param position a physical address
   */
  read(into: Uint8Array, position: number): void {
    for (let done = 0; done < into.length; ) {
      const offset = (position + done) % PAGE_BYTES;
      const part = into.subarray(done, done + PAGE_BYTES - offset);
      const whole = part.length === PAGE_BYTES ? part : this.#page;
      this.#readPage((position + done - offset) / PAGE_BYTES, whole);
      if (whole !== part) part.set(whole.subarray(offset, offset + part.length));
      done += part.length;
    }
  }

  check(): void {
    this.#bytes.check();
  }

  close(): void {
    this.#bytes.close();
  }

  #readPage(gfn: number, page: Uint8Array): void {
    const place = this.#index.find(gfn);
    if (place === undefined) {
      page.fill(0);
      return;
    }
    const at = this.#header.descriptors + place * DESCRIPTOR_BYTES;
    this.#bytes.read(this.#descriptor, at);
    const position = readU64(this.#descriptor, 0);
    const [byteLength, flags] = [this.#descriptor.readUInt32LE(8), this.#descriptor.readUInt32LE(12)];
    if (position === 0 && (this.#header.status & DUMP_INCOMPLETE) !== 0) {
      throw corrupt(this.name, at, `the dump is incomplete, and the page at ${hex(gfn * PAGE_BYTES)} is missing`);
    }
    if (byteLength === 0 || byteLength > PAGE_BYTES) {
      throw corrupt(
        this.name,
        at,
        `the page at ${hex(gfn * PAGE_BYTES)} has a descriptor with a size of ${byteLength} bytes`,
      );
    }
    if (position + byteLength > this.#bytes.byteLength) {
      throw corrupt(
        this.name,
        at,
        `the page at ${hex(gfn * PAGE_BYTES)} has a descriptor that leads beyond the end of the file`,
      );
    }
    const stored = this.#stored.subarray(0, byteLength);
    this.#bytes.read(stored, position);
    try {
      decompressPage(flags, stored, page);
    } catch (error) {
      const why = `the page at ${hex(gfn * PAGE_BYTES)} cannot be decompressed: ${(error as Error).message}`;
      throw corrupt(this.name, position, why, error);
    }
  }
}
