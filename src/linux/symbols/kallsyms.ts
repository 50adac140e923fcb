/**
 * The symbols that a kernel has of itself (CONFIG_KALLSYMS; kernel/kallsyms.c, scripts/kallsyms.c), read from its image. No header
 * says where its tables are: the tokens are found by what they hold, the names by their markers, and the addresses beside one of them:
 *
 *      up to 6.3   offsets, relative_base, num_syms, names, …       or  addresses, num_syms, names, …
 *      since 6.4   num_syms, names, markers, token_table, token_index, offsets, relative_base      (404bad70fcf7)
 *      since 7.0   the same without relative_base: each offset is from its own place; where a 32-bit kernel cannot be moved, it is the address
 */
import type { ImagePiece } from '../kernel/find-image.ts';
import type { LinuxKernel } from '../kernel/kernel.ts';
import { attempt } from '../memory/guest-fault.ts';
import type { Steps } from '../memory/steps.ts';
import { findNames, nameAt, type NameTable } from './names.ts';
import { type KernelSymbol, type SymbolSource, SymbolTable } from './symbol-table.ts';
import { type TokenTable, tokenTables } from './token-table.ts';

const CHUNK_BYTES = 1 << 18;
/** More of an image than this is not looked through. */
const MAX_SPAN_BYTES = 1 << 28;

/** Undefined where the kernel was built without symbols. @throws PtmonError `not-fetched` */
export function* readKallsyms(kernel: LinuxKernel): Steps<SymbolTable | undefined> {
  for (const span of spansOf(kernel.image)) {
    const bytes = yield* bytesOf(kernel, span);
    for (const tokens of tokenTables(bytes)) {
      const names = yield* findNames(bytes, tokens, kernel.memory.wordBytes);
      const addresses = names && addressesOf(kernel, { va: span.va, bytes }, names, tokens);
      if (names !== undefined && addresses !== undefined) {
        return new SymbolTable(new Kallsyms(bytes, names, tokens, addresses), kernel.memory.kernelStart);
      }
    }
  }
  return undefined;
}

class Kallsyms implements SymbolSource {
  readonly addresses: BigUint64Array;
  readonly #bytes: Buffer;
  readonly #places: Uint32Array;
  readonly #tokens: readonly string[];

  constructor(bytes: Buffer, names: NameTable, { tokens }: TokenTable, addresses: BigUint64Array) {
    this.addresses = addresses;
    // The image is much larger than its names.
    const [first = 0, last = 0] = [names.places[0], names.places.at(-1)];
    this.#bytes = Buffer.from(bytes.subarray(first, nameAt(bytes, last).end));
    this.#places = names.places.map((place) => place - first);
    this.#tokens = tokens;
  }

  symbol(index: number): KernelSymbol {
    const { from, end } = nameAt(this.#bytes, this.#places[index]!);
    let text = '';
    for (let at = from; at < end; at++) text += this.#tokens[this.#bytes[at]!]!;
    return { address: this.addresses[index]!, type: text.slice(0, 1), name: text.slice(1), module: null };
  }
}

/** Contiguous virtual memory, whatever the rights and sizes of its pages. */
interface Span {
  readonly va: bigint;
  readonly byteLength: number;
}

function spansOf(image: readonly ImagePiece[]): Span[] {
  const spans: { va: bigint; byteLength: number }[] = [];
  for (const { va, byteLength } of image) {
    const last = spans.at(-1);
    if (last !== undefined && last.va + BigInt(last.byteLength) === va) last.byteLength += byteLength;
    else spans.push({ va, byteLength });
  }
  return spans.map((span) => ({ ...span, byteLength: Math.min(span.byteLength, MAX_SPAN_BYTES) }));
}

/** What cannot be read is zeroes. */
function* bytesOf({ memory }: LinuxKernel, { va, byteLength }: Span): Steps<Buffer> {
  const bytes = Buffer.alloc(byteLength);
  for (let at = 0; at < byteLength; at += CHUNK_BYTES) {
    const part = attempt(() => memory.bytes(va + BigInt(at), Math.min(CHUNK_BYTES, byteLength - at)));
    if (part !== undefined) bytes.set(part, at);
    yield;
  }
  return bytes;
}

/** The first of the places where addresses may be that has addresses in order, most of them of the image. */
function addressesOf(
  { memory, image }: LinuxKernel,
  { va, bytes }: { readonly va: bigint; readonly bytes: Buffer },
  { countAt, places, alignment }: NameTable,
  tokens: TokenTable,
): BigUint64Array | undefined {
  const { wordBytes } = memory;
  const count = places.length;
  const align = (at: number) => (at + alignment - 1) & ~(alignment - 1);
  const offsetsAt = align(tokens.end);
  const candidates = [
    () => relativeAddresses(bytes, { offsetsAt, baseAt: align(offsetsAt + count * 4), count, wordBytes }),
    () => {
      const baseAt = countAt - wordBytes;
      return relativeAddresses(bytes, { offsetsAt: baseAt - align(count * 4), baseAt, count, wordBytes });
    },
    () => absoluteAddresses(bytes, countAt - count * wordBytes, count, wordBytes),
    // Last: offsets from a base, taken for these, lie in the image as well.
    () => placeRelativeAddresses(bytes, offsetsAt, count, va),
    () => (wordBytes === 4 ? absoluteAddresses(bytes, offsetsAt, count, wordBytes) : undefined),
  ];
  for (const read of candidates) {
    const addresses = read();
    if (addresses !== undefined && isInOrder(addresses) && areOfImage(addresses, image)) return addresses;
  }
  return undefined;
}

interface RelativeTable {
  readonly offsetsAt: number;
  readonly baseAt: number;
  readonly count: number;
  readonly wordBytes: number;
}

/**
 * Offsets from `relative_base`. Until 6.15, 64-bit kernels for several processors have absolute addresses of per-CPU data there as
 * numbers from 0 on, and all others as -1 - offset (`kallsyms_sym_address`).
 */
function relativeAddresses(
  bytes: Buffer,
  { offsetsAt, baseAt, count, wordBytes }: RelativeTable,
): BigUint64Array | undefined {
  if (offsetsAt < 0 || baseAt + wordBytes > bytes.length) return undefined;
  const base = wordBytes === 8 ? bytes.readBigUInt64LE(baseAt) : BigInt(bytes.readUInt32LE(baseAt));
  const offsets = Array.from({ length: count }, (_, index) => bytes.readInt32LE(offsetsAt + index * 4));
  const isNegative = offsets.filter((offset) => offset < 0).length > count / 2;
  const addressOf = isNegative
    ? (offset: number) => (offset >= 0 ? BigInt(offset) : base - 1n - BigInt(offset))
    : (offset: number) => base + BigInt(offset >>> 0);
  return BigUint64Array.from(offsets, (offset) => BigInt.asUintN(wordBytes * 8, addressOf(offset)));
}

/** Each offset is from its own address; the first of them is at `va + at`. */
function placeRelativeAddresses(bytes: Buffer, at: number, count: number, va: bigint): BigUint64Array | undefined {
  if (at + count * 4 > bytes.length) return undefined;
  const addressOf = (place: number) => va + BigInt(place + bytes.readInt32LE(place));
  return BigUint64Array.from({ length: count }, (_, index) => addressOf(at + index * 4));
}

function absoluteAddresses(bytes: Buffer, at: number, count: number, wordBytes: number): BigUint64Array | undefined {
  if (at < 0 || at + count * wordBytes > bytes.length) return undefined;
  return BigUint64Array.from({ length: count }, (_, index) =>
    wordBytes === 8 ? bytes.readBigUInt64LE(at + index * 8) : BigInt(bytes.readUInt32LE(at + index * 4)),
  );
}

function areOfImage(addresses: BigUint64Array, image: readonly ImagePiece[]): boolean {
  const [first, last] = [image[0], image.at(-1)];
  if (first === undefined || last === undefined) return false;
  const end = last.va + BigInt(last.byteLength);
  return addresses.filter((address) => address >= first.va && address < end).length > addresses.length / 2;
}

function isInOrder(addresses: BigUint64Array): boolean {
  return addresses.every((address, index) => index === 0 || addresses[index - 1]! <= address);
}
