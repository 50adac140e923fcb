/** Writes BTF: the types of a kernel made for tests, with unnamed structures, typedefs, arrays, enumerations and functions. */

/** A member: its offset in bytes is given, or follows the one before. */
export interface MemberPlan {
  readonly name: string;
  /** A type that was made before: by its number. */
  readonly type: number;
  readonly offset: number;
}

/** What follows a type's name and kind; a type that refers to another has it in the place of its size. */
interface TypeParts {
  readonly count?: number;
  readonly size?: number;
  readonly words?: readonly number[];
}

export class BtfWriter {
  readonly #types: Uint8Array[] = [];
  #texts = '\0';
  #count = 1;

  int(name: string, byteLength: number): number {
    return this.#add(name, 1, { size: byteLength, words: [byteLength * 8] });
  }

  pointer(type: number): number {
    return this.#add('', 2, { size: type });
  }

  array(type: number, length: number): number {
    return this.#add('', 3, { words: [type, 1, length] });
  }

  structure(
    name: string,
    byteLength: number,
    members: readonly MemberPlan[],
    kind: 'struct' | 'union' = 'struct',
  ): number {
    const words = members.flatMap((member) => [this.#text(member.name), member.type, member.offset * 8]);
    return this.#add(name, kind === 'struct' ? 4 : 5, { count: members.length, size: byteLength, words });
  }

  enumeration(name: string, values: Readonly<Record<string, number>>): number {
    const words = Object.entries(values).flatMap(([word, value]) => [this.#text(word), value]);
    return this.#add(name, 6, { count: words.length / 2, size: 4, words });
  }

  typedef(name: string, type: number): number {
    return this.#add(name, 8, { size: type });
  }

  function(name: string): number {
    return this.#add(name, 12, {});
  }

  /** Any other kind. */
  other(kind: number, words: readonly number[]): number {
    return this.#add('', kind, { words });
  }

  bytes(): Uint8Array {
    const types = Buffer.concat(this.#types);
    const texts = Buffer.from(this.#texts, 'latin1');
    const header = new Uint32Array([0x0001eb9f, 24, 0, types.length, types.length, texts.length]);
    return new Uint8Array(Buffer.concat([new Uint8Array(header.buffer), types, texts]));
  }

  #text(text: string): number {
    if (text === '') return 0;
    const at = this.#texts.length;
    this.#texts += `${text}\0`;
    return at;
  }

  #add(name: string, kind: number, { count = 0, size = 0, words = [] }: TypeParts): number {
    const all = new Uint32Array([this.#text(name), (kind << 24) | count, size, ...words]);
    this.#types.push(new Uint8Array(all.buffer));
    return this.#count++;
  }
}
