/** The members of a structure, by name: those of its unnamed structures and unions as if they were its own, as in C. */
import { type Btf, KIND } from './btf.ts';
import { strange } from './header.ts';

export interface Member {
  /** Bytes from the structure's beginning. */
  readonly offset: number;
  readonly type: number;
}

export interface Structure {
  readonly name: string;
  readonly byteLength: number;
  readonly members: ReadonlyMap<string, Member>;
}

const MEMBER_BYTES = 12;
/** Unnamed structures within unnamed structures; the kernel's are 4 deep. */
const MAX_DEPTH = 32;
const MAX_MEMBERS = 1 << 16;

/** Undefined where the kernel has none of this name. @throws PtmonError `corrupt-input` */
export function structureOf(btf: Btf, name: string): Structure | undefined {
  const type = btf.find(KIND.struct, name) ?? btf.find(KIND.union, name);
  return type === undefined ? undefined : structureOfType(btf, type);
}

/** Of a structure or union by its number, which need not have a name. @throws PtmonError `corrupt-input` */
export function structureOfType(btf: Btf, type: number): Structure {
  const members = new Map<string, Member>();
  collect(btf, type, 0, members, 0);
  return { name: btf.nameOf(type), byteLength: btf.word(btf.placeOf(type) + 8), members };
}

function collect(btf: Btf, type: number, base: number, into: Map<string, Member>, depth: number): void {
  const place = btf.placeOf(type);
  const info = btf.word(place + 4);
  const hasBitfields = info >>> 31 === 1;
  if (depth > MAX_DEPTH) throw strange('has structures within structures without an end');
  for (let index = 0; index < (info & 0xffff); index++) {
    const at = place + 12 + index * MEMBER_BYTES;
    const bits = hasBitfields ? btf.word(at + 8) & 0xffffff : btf.word(at + 8);
    const offset = base + Math.floor(bits / 8);
    const name = btf.textAt(btf.word(at));
    const member = plainType(btf, btf.word(at + 4));
    const kind = btf.kindOf(member);
    if (name === '' && (kind === KIND.struct || kind === KIND.union)) collect(btf, member, offset, into, depth + 1);
    else if (name !== '' && !into.has(name)) into.set(name, { offset, type: member });
    if (into.size > MAX_MEMBERS) throw strange('has a structure with members without an end');
  }
}

const WRAPPERS: ReadonlySet<number> = new Set([KIND.typedef, KIND.volatile, KIND.const, KIND.restrict, KIND.typeTag]);

/** The type behind typedefs and qualifiers. @throws PtmonError `corrupt-input` */
export function plainType(btf: Btf, type: number): number {
  let plain = type;
  for (let step = 0; WRAPPERS.has(btf.kindOf(plain)); step++) {
    if (step > MAX_DEPTH) throw strange('has types that refer to each other without an end');
    plain = btf.word(btf.placeOf(plain) + 8);
  }
  return plain;
}

/** Elements of an array type. @throws PtmonError `corrupt-input` where it is none */
export function arrayLength(btf: Btf, type: number): number {
  if (btf.kindOf(type) !== KIND.array) throw strange(`has type ${type} where an array should be`);
  return btf.word(btf.placeOf(type) + 20);
}

/** The value of an enumerator, whatever the enumeration; undefined where there is none of that name. */
export function enumeratorOf(btf: Btf, enumeration: string, name: string): number | undefined {
  const type = btf.find(KIND.enum, enumeration);
  if (type === undefined) return undefined;
  const place = btf.placeOf(type);
  const count = btf.word(place + 4) & 0xffff;
  for (let index = 0; index < count; index++) {
    const at = place + 12 + index * 8;
    if (btf.textAt(btf.word(at)) === name) return btf.word(at + 4);
  }
  return undefined;
}
