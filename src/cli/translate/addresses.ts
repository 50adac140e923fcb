/** The addresses to translate: words of the command line, and of standard input for `-`. */
import { PtmonError } from '../../core/error.ts';
import { canonicalVpn, type Paging } from '../../core/paging/format.ts';

const ADDRESS = /^0x[0-9a-f]{1,16}$/i;

/**
 * Reads all of `input` before it returns, since nobody knows how long that takes, and a guest stands still later.
 *
 * @throws PtmonError `bad-argument` for the first that is no address
 */
export async function readAddresses(words: readonly string[], input: () => AsyncIterable<unknown>): Promise<bigint[]> {
  const found: bigint[] = [];
  for (const word of words) {
    if (word === '-') found.push(...(await addressesOf(input())));
    else found.push(addressOf(word, ''));
  }
  return found;
}

/** @throws PtmonError `non-canonical` for the first that is none in this paging */
export function refuseNonCanonical(paging: Paging, addresses: readonly bigint[]): void {
  for (const va of addresses) canonicalVpn(paging, va);
}

async function addressesOf(input: AsyncIterable<unknown>): Promise<bigint[]> {
  let text = '';
  for await (const chunk of input) text += String(chunk);
  return text.split('\n').flatMap((line, at) =>
    line
      .split(/\s+/)
      .filter((word) => word !== '')
      .map((word) => addressOf(word, `line ${at + 1} of standard input: `)),
  );
}

function addressOf(word: string, where: string): bigint {
  if (ADDRESS.test(word)) return BigInt(word);
  throw new PtmonError('bad-argument', `${where}"${word}" is no virtual address; write 0x… with up to 16 digits`);
}
