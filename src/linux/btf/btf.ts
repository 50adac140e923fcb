/**
 * BTF, read once: where each type stands, and which type has which name. Everything else is looked up when it is asked for.
 *
 * A type is three words (`struct btf_type`) and what its kind adds:
 *
 *      0 name (an offset in the texts)   4 info: vlen 15:0, kind 28:24, kind_flag 31   8 size, or the type that it refers to
 */
import { readBtfHeader, strange } from './header.ts';

/** `BTF_KIND_*`, include/uapi/linux/btf.h. */
export const KIND = {
  int: 1,
  pointer: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  forward: 7,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  function: 12,
  functionPrototype: 13,
  variable: 14,
  section: 15,
  float: 16,
  declarationTag: 17,
  typeTag: 18,
  enum64: 19,
} as const;

const TYPE_BYTES = 12;

/** Bytes that follow a type of each kind: so many, and so many for each of `vlen`. */
const EXTRA: readonly (readonly [fixed: number, each: number] | undefined)[] = [
  undefined,
  [4, 0],
  [0, 0],
  [12, 0],
  [0, 12],
  [0, 12],
  [0, 8],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 8],
  [4, 0],
  [0, 12],
  [0, 0],
  [4, 0],
  [0, 0],
  [0, 12],
];

const decoder = new TextDecoder();

export class Btf {
  /** All of it, as it lies in memory. */
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #textsAt: number;
  readonly #textsEnd: number;
  /** Where each type stands in `bytes`; type 0 is `void` and stands nowhere. */
  readonly #places: Uint32Array;
  /** Types of one kind by name; made when first asked for. */
  readonly #named = new Map<number, ReadonlyMap<string, number>>();

  /** Reads all types through. @throws PtmonError `corrupt-input` where the bytes are not whole and consistent BTF */
  constructor(bytes: Uint8Array) {
    const header = readBtfHeader(bytes);
    if (header.byteLength > bytes.length) throw strange(`claims ${header.byteLength} bytes and has ${bytes.length}`);
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#textsAt = header.textsAt;
    this.#textsEnd = header.textsAt + header.textsByteLength;
    if (bytes[this.#textsAt] !== 0 || bytes[this.#textsEnd - 1] !== 0) throw strange('has texts without an end');
    this.#places = this.#findTypes(header.typesAt, header.typesAt + header.typesByteLength, header.textsByteLength);
  }

  /** How many types there are, `void` among them: their numbers are below it. */
  get typeCount(): number {
    return this.#places.length;
  }

  kindOf(type: number): number {
    return type === 0 ? 0 : (this.#view.getUint32(this.placeOf(type) + 4, true) >>> 24) & 0x1f;
  }

  nameOf(type: number): string {
    return type === 0 ? '' : this.textAt(this.word(this.placeOf(type)));
  }

  /** The number of the type of this kind and name; undefined where there is none. The first one, where there are several. */
  find(kind: number, name: string): number | undefined {
    let named = this.#named.get(kind);
    if (named === undefined) this.#named.set(kind, (named = this.#namesOf(kind)));
    return named.get(name);
  }

  /** Where a type stands in `bytes`. @throws PtmonError `corrupt-input` for a type that does not exist */
  placeOf(type: number): number {
    const place = this.#places[type];
    if (place === undefined || type === 0) throw strange(`refers to type ${type}, which does not exist`);
    return place;
  }

  word(place: number): number {
    return this.#view.getUint32(place, true);
  }

  /** The text at an offset in the texts. */
  textAt(offset: number): string {
    const from = this.#textsAt + offset;
    return decoder.decode(this.bytes.subarray(from, this.bytes.indexOf(0, from)));
  }

  #findTypes(from: number, end: number, textBytes: number): Uint32Array {
    let places = new Uint32Array(1 << 16);
    let count = 1;
    for (let at = from; at < end; ) {
      if (at + TYPE_BYTES > end) throw strange('breaks off within a type');
      const info = this.word(at + 4);
      const kind = (info >>> 24) & 0x1f;
      const extra = EXTRA[kind];
      if (extra === undefined) throw strange(`has a type of kind ${kind}, which is not known here`);
      if (this.word(at) >= textBytes) throw strange(`has a type whose name is not in it`);
      if (count === places.length) {
        const grown = new Uint32Array(places.length * 2);
        grown.set(places);
        places = grown;
      }
      places[count++] = at;
      at += TYPE_BYTES + extra[0] + extra[1] * (info & 0xffff);
      if (at > end) throw strange('breaks off within a type');
    }
    return places.slice(0, count);
  }

  #namesOf(kind: number): Map<string, number> {
    const names = new Map<string, number>();
    for (let type = 1; type < this.#places.length; type++) {
      if (this.kindOf(type) !== kind) continue;
      const name = this.nameOf(type);
      if (!names.has(name)) names.set(name, type);
    }
    return names;
  }
}
