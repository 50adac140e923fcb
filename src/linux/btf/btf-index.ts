/** Reads BTF through once: where each type is, and which type has which name. */
import type { Steps } from '../memory/steps.ts';
import { type BtfHeader, readBtfHeader, strange } from './header.ts';
import { KIND, KIND_BYTES } from './kinds.ts';

const TYPE_BYTES = 12;
/** BTF_MAX_TYPE, include/uapi/linux/btf.h. */
const MAX_TYPES = 1 << 20;
/** KSYM_NAME_LEN, which the kernel allows for a name in BTF. */
const MAX_NAME_BYTES = 512;
/** What is looked up by its name. */
const NAMED: ReadonlySet<number> = new Set([KIND.struct, KIND.union, KIND.enum, KIND.typedef, KIND.function]);

export interface BtfIndex {
  readonly header: BtfHeader;
  /** Where each type is in the bytes; type 0 is `void` and is nowhere. */
  readonly places: Uint32Array;
  /** By kind, the first type of each name. */
  readonly named: ReadonlyMap<number, ReadonlyMap<string, number>>;
}

/** @throws PtmonError `corrupt-input` where the bytes are not whole and consistent BTF */
export function* indexBtf(bytes: Uint8Array): Steps<BtfIndex> {
  const header = readBtfHeader(bytes);
  const { typesAt, typesByteLength, textsAt, textsByteLength, byteLength } = header;
  if (byteLength > bytes.length) throw strange(`claims ${byteLength} bytes and has ${bytes.length}`);
  if (bytes[textsAt] !== 0 || bytes[textsAt + textsByteLength - 1] !== 0) throw strange('has texts without an end');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const named = new Map([...NAMED].map((kind) => [kind, new Map<string, number>()]));
  const end = typesAt + typesByteLength;
  let places = new Uint32Array(1 << 16);
  let count = 1;
  for (let at = typesAt; at < end; yield) {
    if (at + TYPE_BYTES > end) throw strange('breaks off within a type');
    const name = view.getUint32(at, true);
    const info = view.getUint32(at + 4, true);
    const kind = (info >>> 24) & 0x1f;
    const extra = KIND_BYTES[kind];
    if (extra === undefined) throw strange(`has a type of unknown kind ${kind}`);
    if (name >= textsByteLength) throw strange(`has a type whose name is not in it`);
    if (count === MAX_TYPES) throw strange(`has more than ${MAX_TYPES} types`);
    if (count === places.length) {
      const grown = new Uint32Array(places.length * 2);
      grown.set(places);
      places = grown;
    }
    if (name !== 0) {
      const names = named.get(kind);
      const text = names && textAt(bytes, textsAt + name);
      if (text !== undefined && !names!.has(text)) names!.set(text, count);
    }
    places[count++] = at;
    at += TYPE_BYTES + extra[0] + extra[1] * (info & 0xffff);
    if (at > end) throw strange('breaks off within a type');
  }
  return { header, places: places.slice(0, count), named };
}

/** The text that begins at `from`. @throws PtmonError `corrupt-input` where it is longer than any name */
export function textAt(bytes: Uint8Array, from: number): string {
  let end = from;
  while (bytes[end] !== 0) {
    if (++end - from > MAX_NAME_BYTES || end >= bytes.length)
      throw strange(`has a name of more than ${MAX_NAME_BYTES} bytes`);
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, end - from).toString('latin1');
}
