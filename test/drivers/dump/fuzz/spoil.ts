/** Ways to spoil a file: most of them in its headers, with the values that programs get wrong. */
import type { Random } from '../../../oracle/random.ts';

const VALUES = [
  0n,
  1n,
  2n,
  0x7fn,
  0xfffn,
  0x1000n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  1n << 40n,
  1n << 52n,
  1n << 63n,
  -1n,
  -4096n,
];

type Spoil = (bytes: Buffer, random: Random) => Buffer;

const SPOILS: readonly Spoil[] = [
  (bytes, random) => {
    bytes[place(bytes, random)]! ^= 1 << random.below(8);
    return bytes;
  },
  (bytes, random) => {
    bytes[place(bytes, random)] = random.below(256);
    return bytes;
  },
  (bytes, random) => put(bytes, random, 4, false),
  (bytes, random) => put(bytes, random, 8, false),
  (bytes, random) => put(bytes, random, 8, true),
  (bytes, random) => bytes.subarray(0, random.below(bytes.length + 1)),
  (bytes, random) => Buffer.concat([bytes, Buffer.alloc(random.below(10_000), random.below(256))]),
  (bytes, random) => {
    const [from, to, length] = [place(bytes, random), place(bytes, random), random.below(4096)];
    bytes.copyWithin(to, from, from + length);
    return bytes;
  },
  (bytes, random) => {
    const at = place(bytes, random);
    bytes.fill(random.oneIn(2) ? 0 : 0xff, at, Math.min(bytes.length, at + random.below(2000)));
    return bytes;
  },
];

/** A copy with one to six things wrong. */
export function spoiled(bytes: Buffer, random: Random): Buffer {
  let copy: Buffer = Buffer.from(bytes);
  for (let count = 1 + random.below(6); count > 0 && copy.length > 0; count--) copy = random.pick(SPOILS)(copy, random);
  return copy;
}

/** Half of the time near the beginning, where headers are. */
function place(bytes: Buffer, random: Random): number {
  const end = random.oneIn(2) ? Math.min(bytes.length, random.oneIn(2) ? 1024 : 24_576) : bytes.length;
  return random.below(end);
}

/** A value in one of a few fields' places, or a little beside what was there. */
function put(bytes: Buffer, random: Random, width: 4 | 8, isBig: boolean): Buffer {
  const at = place(bytes, random) & ~3;
  if (at + width > bytes.length) return bytes;
  const was = width === 4 ? BigInt(bytes.readUInt32LE(at)) : bytes.readBigUInt64LE(at);
  const near = was + BigInt(random.below(9) - 4);
  const value = random.oneIn(3)
    ? near
    : random.oneIn(4)
      ? BigInt(bytes.length + random.below(3) - 1)
      : random.pick(VALUES);
  const word = BigInt.asUintN(width * 8, value);
  if (width === 4) bytes.writeUInt32LE(Number(word), at);
  else if (isBig) bytes.writeBigUInt64BE(word, at);
  else bytes.writeBigUInt64LE(word, at);
  return bytes;
}
