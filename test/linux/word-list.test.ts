import { expect, test } from 'vitest';
import { SparseMemory } from '../../src/core/memory/sparse-memory.ts';
import { WordList } from '../../src/linux/watch/word-list.ts';

test('all of a word is trapped, also where a trap is as narrow as an entry of legacy paging', () => {
  const memory = new SparseMemory();
  const wide = new WordList(memory, 8);
  wide.set(new Set([0x1000, 0x2008]));
  expect([...wide.addresses]).toEqual([0x1000, 0x2008]);
  const narrow = new WordList(memory, 4);
  narrow.set(new Set([0x1000, 0x2008]));
  expect([...narrow.addresses]).toEqual([0x1000, 0x1004, 0x2008, 0x200c]);
});
