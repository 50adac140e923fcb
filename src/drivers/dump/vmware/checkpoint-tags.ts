/**
 * The tags of a checkpoint of VMware (.vmss of a suspended machine, .vmsn of a snapshot), as VMware's own reader for crash has them
 * (crash-utility, vmware_vmss.c). All numbers are little-endian.
 *
 *   header   magic, version, number of groups       32 bits each
 *   group    name (64 bytes), position, size        64 bits each
 *   tag      flags: bits 5:0 the size of the value, bits 7:6 the number of indices; length of the name; name; indices (32 bits each)
 *            a size of 62 or 63 is a block (62: compressed): its length, its length in memory (64 bits each), padding (16 bits), then both
 *   0, 0     ends a group
 */
import { corrupt, type DumpBytes, hasBytes, readPart, readU64 } from '../dump-bytes.ts';

const HEADER_BYTES = 12;
const GROUP_BYTES = 80;
const NAME_BYTES = 64;
const BLOCK_HEADER_BYTES = 18;
const COMPRESSED_BLOCK = 62;
const BLOCK = 63;
/** Machines have some dozens of groups, and some thousands of tags in each. */
const MAX_GROUPS = 4096;
const MAX_TAGS = 2 ** 20;

export interface Tag {
  readonly name: string;
  readonly indices: readonly number[];
  /** Where its value is. */
  readonly position: number;
  readonly byteLength: number;
  readonly isCompressed: boolean;
}

/** Whether a file begins like a checkpoint: 0xbed0bed0, 0xbed2bed2, 0xbed3bed3, 0xbad1bad1, … */
export function isCheckpoint(head: Buffer): boolean {
  if (head.length < HEADER_BYTES) return false;
  const family = (head.readUInt32LE(0) & 0xfff0fff0) >>> 0;
  return family === 0xbed0bed0 || family === 0xbad0bad0;
}

/** The tags of the groups of these names. @throws PtmonError `corrupt-input` */
export function* tagsOf(bytes: DumpBytes, groups: readonly string[]): Generator<Tag & { readonly group: string }> {
  const header = readPart(bytes, 0, HEADER_BYTES, 'the header of a checkpoint');
  const count = header.readUInt32LE(8);
  if (count > MAX_GROUPS) throw corrupt(bytes.name, 8, `${count} groups of tags are more than any checkpoint has`);
  for (let index = 0; index < count; index++) {
    const group = readPart(bytes, HEADER_BYTES + index * GROUP_BYTES, GROUP_BYTES, 'a group of tags');
    const [name = ''] = group.toString('latin1', 0, NAME_BYTES).split('\0');
    if (groups.includes(name))
      for (const tag of tagsAt(bytes, readU64(group, NAME_BYTES))) yield { ...tag, group: name };
  }
}

function* tagsAt(bytes: DumpBytes, start: number): Generator<Tag> {
  let at = start;
  for (let count = 0; ; count++) {
    if (count === MAX_TAGS) throw corrupt(bytes.name, at, `more than ${MAX_TAGS} tags in a group`);
    const tag = readPart(bytes, at, 2, 'a tag');
    const [flags, nameBytes] = [tag[0]!, tag[1]!];
    if (flags === 0 && nameBytes === 0) return;
    const indexCount = flags >>> 6;
    const rest = readPart(bytes, at + 2, nameBytes + indexCount * 4, 'the name of a tag');
    const name = rest.toString('latin1', 0, nameBytes);
    const indices = Array.from({ length: indexCount }, (_, index) => rest.readUInt32LE(nameBytes + index * 4));
    at += 2 + rest.length;
    const size = flags & 0x3f;
    let [position, byteLength] = [at, size];
    if (size === BLOCK || size === COMPRESSED_BLOCK) {
      const block = readPart(bytes, at, BLOCK_HEADER_BYTES, 'the header of a block');
      byteLength = readU64(block, 0);
      position = at + BLOCK_HEADER_BYTES + block.readUInt16LE(16);
    }
    yield { name, indices, position, byteLength, isCompressed: size === COMPRESSED_BLOCK };
    at = position + byteLength;
    // The memory of a truncated checkpoint reaches beyond it.
    if (!hasBytes(bytes, at, 0)) return;
  }
}
