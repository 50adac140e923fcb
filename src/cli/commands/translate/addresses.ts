/** The addresses to translate: from the command line, and from standard input for `-`. */
import { PtmonError } from '../../../core/error.ts';
import { isCanonical, type Paging } from '../../../core/paging/format.ts';
import { hex, vpnOf } from '../../../core/address/va.ts';
import { printable } from '../../../sinks/printable.ts';
import { parseAddress } from '../../options/values.ts';

/** Messages show only the beginning of a longer word. */
const MAX_SHOWN = 64;
/** A longer word ends the reading: the input is not a list of addresses. */
const MAX_WORD = 1 << 16;
/** The invalid words of standard input that are listed. */
const MAX_LISTED = 100;

/** A symbol of the kernel, and bytes behind it: `schedule`, `sys_call_table+0x8`. */
const SYMBOL = /^([A-Za-z_.$][\w.$@]{0,511})(?:\+(0x[\da-f]{1,16}|\d{1,10}))?$/i;

export interface KnownAddress {
  readonly va: bigint;
  /** `standard input, line 3: `; empty for a word of the command line. */
  readonly where: string;
}

export interface SymbolWord {
  readonly symbol: string;
  readonly offset: bigint;
  readonly where: string;
}

export type AddressWord = KnownAddress | SymbolWord;

/** The invalid words of standard input. The others are translated. */
export class WrongWords {
  readonly #lines: string[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(line: string): void {
    if (++this.#count <= MAX_LISTED) this.#lines.push(line);
  }

  /** One line each, and how many are not listed. */
  get lines(): string[] {
    const more = this.#count - this.#lines.length;
    return more === 0 ? this.#lines : [...this.#lines, `${more} more words are not addresses`];
  }
}

/**
 * Reads all of `input` before it returns: that may take long, and a live guest must not be paused meanwhile.
 *
 * @param wrong collects the words of `input` that are not addresses
 * @throws PtmonError `bad-argument` for the first word of the command line that is not an address
 */
export async function readAddresses(
  words: readonly string[],
  input: () => AsyncIterable<unknown>,
  wrong: WrongWords,
): Promise<AddressWord[]> {
  const found: AddressWord[] = [];
  for (const word of words) {
    if (word !== '-') {
      const known = addressOf(word, '');
      if (known === undefined) throw new PtmonError('bad-argument', notAnAddress(word));
      found.push(known);
      continue;
    }
    for await (const { text, line } of wordsOf(input())) {
      const where = `standard input, line ${line}: `;
      const known = addressOf(text, where);
      if (known === undefined) wrong.add(`${where}${notAnAddress(text)}`);
      else found.push(known);
    }
  }
  return found;
}

/**
 * Returns the addresses that are canonical in this paging mode.
 *
 * @throws PtmonError `non-canonical` for the first other one of the command line; `wrong` collects those of standard input
 */
export function canonicalOnly(paging: Paging, addresses: readonly KnownAddress[], wrong: WrongWords): bigint[] {
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

/** Yields words as they arrive, the last of them one that is too long. */
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
    if (rest.length >= MAX_WORD) return yield { text: rest, line };
  }
  if (rest !== '') yield { text: rest, line };
}

function addressOf(word: string, where: string): AddressWord | undefined {
  const va = parseAddress(word);
  if (va !== undefined) return { va, where };
  const match = SYMBOL.exec(word);
  return match === null ? undefined : { symbol: match[1]!, offset: BigInt(match[2] ?? 0), where };
}

function notAnAddress(word: string): string {
  const shown = word.length > MAX_SHOWN ? `${word.slice(0, MAX_SHOWN)}…` : word;
  const end = word.length >= MAX_WORD ? '; what follows is not read' : '';
  return `${printable(shown)}: not a hexadecimal address of 1 to 16 digits, nor a symbol${end}`;
}
