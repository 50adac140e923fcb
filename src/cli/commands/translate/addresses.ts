/** The addresses to translate: words of the command line, and of standard input for `-`. */
import { PtmonError } from '../../../core/error.ts';
import { isCanonical, type Paging } from '../../../core/paging/format.ts';
import { hex, vpnOf } from '../../../core/address/va.ts';

const ADDRESS = /^0x[0-9a-f]{1,16}$/i;
/** Of a longer word, the beginning is shown. */
const MAX_SHOWN = 64;
/** A word without an end is no list of addresses. */
const MAX_WORD = 1 << 16;
/** Wrong words of standard input that are listed. */
const MAX_LISTED = 100;

export interface AddressWord {
  readonly va: bigint;
  /** `line 3 of standard input: `; empty for a word of the command line. */
  readonly where: string;
}

/** What is wrong in standard input: the rest of it is translated all the same. */
export class WrongWords {
  readonly #lines: string[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(line: string): void {
    if (++this.#count <= MAX_LISTED) this.#lines.push(line);
  }

  /** Human-readable, one line each, and how many are not listed. */
  get lines(): string[] {
    const more = this.#count - this.#lines.length;
    return more === 0 ? this.#lines : [...this.#lines, `${more} more words are no addresses`];
  }
}

/**
 * Reads all of `input` before it returns: nobody knows how long that takes, and a live guest is stopped later.
 *
 * @param wrong learns of words of `input` that are no addresses
 * @throws PtmonError `bad-argument` for the first word of the command line that is no address
 */
export async function readAddresses(
  words: readonly string[],
  input: () => AsyncIterable<unknown>,
  wrong: WrongWords,
): Promise<AddressWord[]> {
  const found: AddressWord[] = [];
  for (const word of words) {
    if (word !== '-') {
      found.push({ va: addressOf(word), where: '' });
      continue;
    }
    for await (const { text, line } of wordsOf(input())) {
      const where = `line ${line} of standard input: `;
      if (ADDRESS.test(text)) found.push({ va: BigInt(text), where });
      else wrong.add(`${where}${notAnAddress(text)}`);
    }
  }
  return found;
}

/**
 * The addresses that are canonical in this paging.
 *
 * @throws PtmonError `non-canonical` for the first of the command line that is not; those of standard input are `wrong`
 */
export function canonicalOnly(paging: Paging, addresses: readonly AddressWord[], wrong: WrongWords): bigint[] {
  const found: bigint[] = [];
  for (const { va, where } of addresses) {
    if (isCanonical(paging, vpnOf(va))) {
      found.push(va);
      continue;
    }
    const why = `virtual address ${hex(va)} is not canonical in ${paging.mode.name} paging`;
    if (where === '') throw new PtmonError('non-canonical', why);
    wrong.add(`${where}${why}`);
  }
  return found;
}

/** As they come. @throws PtmonError `bad-argument` for a word without an end */
async function* wordsOf(
  input: AsyncIterable<unknown>,
): AsyncGenerator<{ readonly text: string; readonly line: number }> {
  let line = 1;
  let rest = '';
  for await (const chunk of input) {
    const parts = (rest + String(chunk)).split(/(\s)/);
    rest = parts.pop()!;
    for (const part of parts) {
      if (part === '\n') line++;
      else if (part.trim() !== '') yield { text: part, line };
    }
    if (rest.length >= MAX_WORD) {
      throw new PtmonError('bad-argument', `line ${line} of standard input: ${notAnAddress(rest)}`);
    }
  }
  if (rest !== '') yield { text: rest, line };
}

function addressOf(word: string): bigint {
  if (ADDRESS.test(word)) return BigInt(word);
  throw new PtmonError('bad-argument', notAnAddress(word));
}

function notAnAddress(word: string): string {
  const shown = word.length > MAX_SHOWN ? `${word.slice(0, MAX_SHOWN)}…` : word;
  return `${JSON.stringify(shown)} is no virtual address; write 0x… with up to 16 digits`;
}
