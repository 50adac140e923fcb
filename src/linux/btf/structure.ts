/** The members of a structure, by name: those of its unnamed structures and unions as if they were its own, as in C. */
import type { Btf } from './btf.ts';
import { strange } from './header.ts';
import { KIND } from './kinds.ts';

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
/** Typedefs and qualifiers around a type; the kernel's are 5 deep. */
const MAX_DEPTH = 32;
/** Members that are looked at for one structure, those of unnamed structures within it included. The kernel's have at most some hundreds. */
const MAX_MEMBERS = 1 << 12;

/** Undefined where the kernel has none of this name. @throws PtmonError `corrupt-input` */
export function structureOf(btf: Btf, name: string): Structure | undefined {
  const type = btf.find(KIND.struct, name) ?? btf.find(KIND.union, name);
  return type === undefined ? undefined : structureOfType(btf, type);
}

/** Of a structure or union by its number, which need not have a name. @throws PtmonError `corrupt-input` */
export function structureOfType(btf: Btf, type: number): Structure {
  let known = structures.get(btf);
  if (known === undefined) structures.set(btf, (known = new Map()));
  let structure = known.get(type);
  if (structure === undefined) known.set(type, (structure = read(btf, type)));
  return structure;
}

/** What was read of each BTF, by type: most structures are asked for several times. */
const structures = new WeakMap<Btf, Map<number, Structure>>();

function read(btf: Btf, type: number): Structure {
  const members = new Map<string, Member>();
  let membersLeft = MAX_MEMBERS;
  const collect = (from: number, base: number): void => {
    const place = btf.placeOf(from);
    const info = btf.word(place + 4);
    const hasBitfields = info >>> 31 === 1;
    for (let index = 0; index < (info & 0xffff); index++) {
      if (membersLeft-- === 0) throw strange(`has more than ${MAX_MEMBERS} members in ${nameIn(btf, type)}`);
      const at = place + 12 + index * MEMBER_BYTES;
      const bits = hasBitfields ? btf.word(at + 8) & 0xffffff : btf.word(at + 8);
      const offset = base + Math.floor(bits / 8);
      const name = btf.textAt(btf.word(at));
      const member = plainType(btf, btf.word(at + 4));
      if (name !== '') {
        if (!members.has(name)) members.set(name, { offset, type: member });
      } else if (isStructure(btf, member)) collect(member, offset);
    }
  };
  collect(type, 0);
  return { name: btf.nameOf(type), byteLength: btf.word(btf.placeOf(type) + 8), members };
}

/** Whether a type is a structure or a union. */
export function isStructure(btf: Btf, type: number): boolean {
  const kind = btf.kindOf(type);
  return kind === KIND.struct || kind === KIND.union;
}

function nameIn(btf: Btf, type: number): string {
  return btf.nameOf(type) || `type ${type}`;
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
