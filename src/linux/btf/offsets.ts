/** Where members of the kernel's structures are, by the kernel's own names. */
import { PtmonError } from '../../core/error.ts';
import type { Btf } from './btf.ts';
import { isStructure, plainType, structureOf, structureOfType } from './structure.ts';

/** A member, or one of a member's: `context.vdso`. @returns bytes from the structure's beginning; undefined where there is none */
export function offsetOf(btf: Btf, structure: string, path: string): number | undefined {
  let at = structureOf(btf, structure);
  let offset = 0;
  for (const name of path.split('.')) {
    const member = at?.members.get(name);
    if (member === undefined) return undefined;
    offset += member.offset;
    const type = plainType(btf, member.type);
    at = isStructure(btf, type) ? structureOfType(btf, type) : undefined;
  }
  return offset;
}

/**
 * The offsets of members that every kernel has that is known here, and of those that only some have.
 *
 * @throws PtmonError `corrupt-input` where one of the first is missing, naming it
 */
export function offsetsOf<Required extends string, Optional extends string = never>(
  btf: Btf,
  structure: string,
  required: readonly Required[],
  optional: readonly Optional[] = [],
): Readonly<Record<Required, number>> & Readonly<Partial<Record<Optional, number>>> {
  const found: Record<string, number> = {};
  for (const name of [...required, ...optional]) {
    const offset = offsetOf(btf, structure, name);
    if (offset !== undefined) found[name] = offset;
  }
  const missing = required.filter((name) => found[name] === undefined);
  if (missing.length > 0) {
    const names = missing.map((name) => `${structure}.${name}`).join(', ');
    throw new PtmonError('corrupt-input', `the kernel's type information (BTF) has no ${names}`);
  }
  return found as ReturnType<typeof offsetsOf<Required, Optional>>;
}
