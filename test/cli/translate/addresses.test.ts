/** Lists of addresses from standard input. */
import { expect, test } from 'vitest';
import { readAddresses as read, WrongWords } from '../../../src/cli/commands/translate/addresses.ts';

async function* chunksOf(...chunks: readonly string[]): AsyncGenerator<string> {
  yield* chunks;
}

async function readAddresses(words: readonly string[], input: () => AsyncIterable<unknown>) {
  const wrong = new WrongWords();
  const found = await read(words, input, wrong);
  return { found: found.map((word) => ('va' in word ? word.va : word.symbol)), wrong: wrong.lines };
}

test('takes more addresses than a call takes arguments', async () => {
  const text = Array.from({ length: 300_000 }, (_, page) => `0x${(page * 4096).toString(16)}\n`).join('');
  const { found } = await readAddresses(['-', '0x7'], () => chunksOf(text));
  expect([found.length, found[299_999], found[300_000]]).toEqual([300_001, 299_999n * 4096n, 7n]);
});

test('ends at once at what has no end and is no address, and keeps what came before', async () => {
  let chunks = 0;
  async function* zeroes(): AsyncGenerator<string> {
    yield '0x1\n';
    for (; ; chunks++) yield '\0'.repeat(65_536);
  }
  const { found, wrong } = await readAddresses(['-', '0x2'], zeroes);
  expect(found).toEqual([1n, 2n]);
  expect(wrong).toEqual([
    expect.stringMatching(/^standard input, line 2: \\x00.*…: not a hexadecimal address.*; what follows is not read$/),
  ]);
  expect(chunks).toBe(0);
});

test('names the line of a word, wherever chunks end', async () => {
  const { found, wrong } = await readAddresses(['-'], () => chunksOf('0x1\r\n\n0', 'x2 0x', 'g\n0x3'));
  expect(found).toEqual([1n, 2n, 3n]);
  expect(wrong).toEqual(['standard input, line 3: 0xg: not a hexadecimal address of 1 to 16 digits, nor a symbol']);
});

test('lists as many wrong words as a reader can use', async () => {
  const { found, wrong } = await readAddresses(['-'], () => chunksOf('0x '.repeat(300_000), '0x1'));
  expect(found).toEqual([1n]);
  expect([wrong.length, wrong[100]]).toEqual([101, '299900 more words are not addresses']);
});
