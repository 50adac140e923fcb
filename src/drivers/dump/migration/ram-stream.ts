/**
 * The RAM of a migration stream of QEMU (migration/ram.c, version 4): which pages of which blocks are where in the file. Pages that the
 * guest wrote while it was saved come more than once, and the last one holds. All numbers are big-endian.
 *
 * A section of RAM is words of 64 bits, whose low 12 bits are flags and whose rest is an offset in a block:
 *
 *   0x02  a page of one byte, which follows
 *   0x04  the list of blocks: the rest is the length of all; for each one its name and its length
 *   0x08  a page, which follows
 *   0x10  the end of the section
 *   0x20  of a page: it is of the block that was named last; otherwise the name of its block comes first
 *   0x100 a page compressed by zlib, with its length
 */
import { inflateSync } from 'node:zlib';
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import type { PositionedSource } from '../../ramfile/index.ts';
import { corrupt, type DumpBytes } from '../dump-bytes.ts';
import type { StreamReader } from './stream-reader.ts';

const FLAG_FILL = 0x02;
const FLAG_BLOCKS = 0x04;
const FLAG_PAGE = 0x08;
const FLAG_END = 0x10;
const FLAG_SAME_BLOCK = 0x20;
const FLAG_XBZRLE = 0x40;
const FLAG_HOOK = 0x80;
const FLAG_ZLIB = 0x100;
const FLAG_FLUSH = 0x200;

/** Guests have some dozens of blocks, and QEMU as much memory as the machine. */
const MAX_BLOCKS = 4096;
const MAX_BLOCK_BYTES = 2 ** 40;
/** Of what is compressed: a page that did not become smaller, and its header. */
const MAX_ZLIB_BYTES = 2 * PAGE_BYTES;

/** A block of RAM, with where each of its pages is. */
export class RamBlock implements PositionedSource {
  readonly name: string;
  readonly id: string;
  readonly byteLength: number;
  readonly #bytes: DumpBytes;
  /** By page: 0 where it is not in the stream; its position plus 1; for a page of one byte the byte, negative and less 1. */
  #places = new Float64Array(0);
  readonly #compressed = new Map<number, number>();
  readonly #page = Buffer.alloc(PAGE_BYTES);

  constructor(bytes: DumpBytes, id: string, byteLength: number) {
    this.name = bytes.name;
    this.id = id;
    this.byteLength = byteLength;
    this.#bytes = bytes;
  }

  /** Whether any of its pages is in the stream. */
  get isPresent(): boolean {
    return this.#places.length > 0;
  }

  has(page: number): boolean {
    return page < this.#places.length && this.#places[page] !== 0;
  }

  put(page: number, place: number, compressedBytes = 0): void {
    if (page >= this.#places.length) {
      // RAM is mostly sent in ascending order; what was never sent needs no room.
      const grown = new Float64Array(Math.min(this.byteLength / PAGE_BYTES, Math.max(1024, (page + 1) * 2)));
      grown.set(this.#places);
      this.#places = grown;
    }
    this.#places[page] = place;
    if (compressedBytes > 0) this.#compressed.set(page, compressedBytes);
    else this.#compressed.delete(page);
  }

  /** @param position in the block */
  read(into: Uint8Array, position: number): void {
    for (let done = 0; done < into.length; ) {
      const offset = (position + done) % PAGE_BYTES;
      const part = into.subarray(done, done + PAGE_BYTES - offset);
      this.#readPage(Math.floor((position + done) / PAGE_BYTES));
      part.set(this.#page.subarray(offset, offset + part.length));
      done += part.length;
    }
  }

  check(): void {
    this.#bytes.check();
  }

  close(): void {
    this.#bytes.close();
  }

  #readPage(page: number): void {
    const place = this.#places[page] ?? 0;
    if (place <= 0) {
      this.#page.fill(place === 0 ? 0 : -place - 1);
      return;
    }
    const compressed = this.#compressed.get(page);
    if (compressed === undefined) {
      this.#bytes.read(this.#page, place - 1);
      return;
    }
    const stored = Buffer.alloc(compressed);
    this.#bytes.read(stored, place - 1);
    try {
      const found = inflateSync(stored, { maxOutputLength: PAGE_BYTES });
      if (found.length !== PAGE_BYTES) throw new Error(`it is decompressed into ${found.length} bytes`);
      found.copy(this.#page);
    } catch (error) {
      throw corrupt(this.name, place - 1, `a page cannot be decompressed: ${(error as Error).message}`, error);
    }
  }
}

/** Reads sections of RAM, one after the other. */
export class RamStream {
  readonly blocks: RamBlock[] = [];
  readonly #bytes: DumpBytes;
  #last: RamBlock | undefined;

  constructor(bytes: DumpBytes) {
    this.#bytes = bytes;
  }

  /**
   * Reads to the end of a section.
   *
   * @param turn called now and then
   * @throws PtmonError `corrupt-input` for what is no such section, or beyond the end of the file
   */
  async readSection(stream: StreamReader, turn: () => Promise<void>): Promise<void> {
    for (let count = 0; ; count++) {
      if (count % 4096 === 0) await turn();
      const at = stream.position;
      const word = stream.u64();
      const flags = word % PAGE_BYTES;
      const offset = word - flags;
      if ((flags & FLAG_BLOCKS) !== 0) this.#readBlocks(stream, offset, at);
      else if ((flags & (FLAG_FILL | FLAG_PAGE | FLAG_ZLIB)) !== 0) this.#readPage(stream, flags, offset, at);
      else if ((flags & FLAG_XBZRLE) !== 0) {
        throw corrupt(this.#bytes.name, at, 'its pages are differences to others (capability xbzrle): migrate without');
      } else if ((flags & ~(FLAG_END | FLAG_HOOK | FLAG_FLUSH)) !== 0 || (flags & (FLAG_END | FLAG_FLUSH)) === 0) {
        throw corrupt(this.#bytes.name, at, `0x${flags.toString(16)} are not flags of a page`);
      }
      if ((flags & FLAG_END) !== 0) return;
    }
  }

  #readBlocks(stream: StreamReader, total: number, at: number): void {
    for (let rest = total; rest > 0; ) {
      const id = stream.text();
      const byteLength = stream.u64();
      if (byteLength <= 0 || byteLength % PAGE_BYTES !== 0 || byteLength > Math.min(rest, MAX_BLOCK_BYTES)) {
        throw corrupt(
          this.#bytes.name,
          at,
          `a block of RAM ${JSON.stringify(id)} of ${byteLength} bytes makes no sense`,
        );
      }
      if (this.blocks.length === MAX_BLOCKS)
        throw corrupt(this.#bytes.name, at, `more than ${MAX_BLOCKS} blocks of RAM`);
      this.blocks.push(new RamBlock(this.#bytes, id, byteLength));
      rest -= byteLength;
    }
  }

  #readPage(stream: StreamReader, flags: number, offset: number, at: number): void {
    if ((flags & FLAG_SAME_BLOCK) === 0) {
      const id = stream.text();
      this.#last = this.blocks.find((block) => block.id === id);
    }
    const block = this.#last;
    if (block === undefined || offset >= block.byteLength) {
      throw corrupt(this.#bytes.name, at, 'a page is of no block of RAM that the stream has named');
    }
    const page = offset / PAGE_BYTES;
    if ((flags & FLAG_FILL) !== 0) {
      block.put(page, -stream.u8() - 1);
      return;
    }
    const byteLength = (flags & FLAG_ZLIB) !== 0 ? stream.u32() : PAGE_BYTES;
    if (byteLength > MAX_ZLIB_BYTES)
      throw corrupt(this.#bytes.name, at, `a page is compressed into ${byteLength} bytes`);
    const position = stream.position;
    stream.skip(byteLength);
    block.put(page, position + 1, (flags & FLAG_ZLIB) !== 0 ? byteLength : 0);
  }
}
