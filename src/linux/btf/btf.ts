/**
 * BTF, read once: where each type is, and which type has which name. Everything else is looked up when a caller asks for it.
 *
 * A type is three words (`struct btf_type`) and what its kind adds:
 *
 *      0 name (an offset in the texts)   4 info: vlen 15:0, kind 28:24, kind_flag 31   8 size, or the type that it refers to
 */
import { finish, type Steps } from '../memory/steps.ts';
import { type BtfIndex, indexBtf, textAt } from './btf-index.ts';
import { strange } from './header.ts';

export class Btf {
  /** All of it, as it is in memory. */
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #index: BtfIndex;

  /**
   * @param index what `indexBtf` found in the bytes; without it, all types are read through here
   * @throws PtmonError `corrupt-input` where the bytes are not whole and consistent BTF
   */
  constructor(bytes: Uint8Array, index: BtfIndex = finish(indexBtf(bytes))) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#index = index;
  }

  /** Reads all types through, in steps. @throws PtmonError `corrupt-input` where the bytes are not whole and consistent BTF */
  static *read(bytes: Uint8Array): Steps<Btf> {
    return new Btf(bytes, yield* indexBtf(bytes));
  }

  /** How many types there are, `void` among them: their numbers are below it. */
  get typeCount(): number {
    return this.#index.places.length;
  }

  kindOf(type: number): number {
    return type === 0 ? 0 : (this.#view.getUint32(this.placeOf(type) + 4, true) >>> 24) & 0x1f;
  }

  nameOf(type: number): string {
    return type === 0 ? '' : this.textAt(this.word(this.placeOf(type)));
  }

  /**
   * The number of the first type of this name that is a structure, union, enumeration, typedef or function (`KIND`); undefined where
   * there is none.
   */
  find(kind: number, name: string): number | undefined {
    return this.#index.named.get(kind)?.get(name);
  }

  /** Where a type is in `bytes`. @throws PtmonError `corrupt-input` for a type that does not exist */
  placeOf(type: number): number {
    const place = this.#index.places[type];
    if (place === undefined || type === 0) throw strange(`refers to type ${type}, which does not exist`);
    return place;
  }

  word(place: number): number {
    return this.#view.getUint32(place, true);
  }

  /** The text at an offset in the texts. @throws PtmonError `corrupt-input` */
  textAt(offset: number): string {
    const { textsAt, textsByteLength } = this.#index.header;
    if (offset >= textsByteLength) throw strange(`refers to a text at ${offset} of ${textsByteLength} bytes of texts`);
    return textAt(this.bytes, textsAt + offset);
  }
}
