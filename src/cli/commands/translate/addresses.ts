/** The addresses to translate: words of the command line, and of standard input for `-`. */
import { PtmonError } from '../../../core/error.ts';
import { canonicalVpn, type Paging } from '../../../core/paging/format.ts';

const ADDRESS = /^0x[0-9a-f]{1,16}$/i;
/** Longer than any address; of a longer word the beginning is shown. */
const MAX_WORD = 64;

/**
 * Reads all of `input` before it returns, since nobody knows how long that takes, and a guest stands still later.
 *
 * @throws PtmonError `bad-argument` for the first that is no address
 */
export async function readAddresses(words: readonly string[], input: () => AsyncIterable<unknown>): Promise<bigint[]> {
  const found: bigint[] = [];
  for (const word of words) {
    if (word === '-') for await (const address of addressesOf(input())) found.push(address);
    else found.push(addressOf(word, ''));
  }
  return found;
}

/** @throws PtmonError `non-canonical` for the first that is none in this paging */
export function refuseNonCanonical(paging: Paging, addresses: readonly bigint[]): void {
  for (const va of addresses) canonicalVpn(paging, va);
}

/** As they come, so that what is no list of addresses is refused at its first word. */
async function* addressesOf(input: AsyncIterable<unknown>): AsyncGenerator<bigint, void, undefined> {
  let line = 1;
  let rest = '';
  const whole = (word: string) => addressOf(word, `line ${line} of standard input: `);
  for await (const chunk of input) {
    const parts = (rest + String(chunk)).split(/(\s)/);
    rest = parts.pop()!;
    for (const part of parts) {
      if (part === '\n') line++;
      else if (part.trim() !== '') yield whole(part);
    }
    if (rest.length > MAX_WORD) whole(rest);
  }
  if (rest !== '') yield whole(rest);
}

function addressOf(word: string, where: string): bigint {
  if (ADDRESS.test(word)) return BigInt(word);
  const shown = word.length > MAX_WORD ? `${word.slice(0, MAX_WORD)}…` : word;
  throw new PtmonError(
    'bad-argument',
    `${where}${JSON.stringify(shown)} is no virtual address; write 0x… with up to 16 digits`,
  );
}
