/** A piece of the kernel's image, as words to look through. */

/** Whole pages of the image. */
export interface Chunk {
  readonly va: bigint;
  readonly words: Uint32Array;
}

/** Where a chunk has these words, one after the other. */
export function placesOf({ va, words }: Chunk, wanted: readonly number[]): bigint[] {
  const [first = 0] = wanted;
  const found: bigint[] = [];
  for (let at = words.indexOf(first); at >= 0; at = words.indexOf(first, at + 1)) {
    if (wanted.every((word, index) => words[at + index] === word)) found.push(va + BigInt(at * 4));
  }
  return found;
}
