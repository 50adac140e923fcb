/** Events of the kernel's addresses have the symbols of these as tags. */
import { expect, test } from 'vitest';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { makePaging } from '../../src/core/paging/format.ts';
import { EntryWords } from '../../src/linux/watch/entry-words.ts';
import { tableOf } from '../../src/linux/symbols/symbol-table.ts';

const KERNEL_START = 1n << 63n;

test('a tag for a symbol of the kernel or of a module; none for a process, or without symbols', async () => {
  const symbols = tableOf(
    [
      { address: 0x1000n, type: 'A', name: 'percpu', module: null },
      { address: 0xffff_ffff_8100_0000n, type: 'T', name: 'schedule', module: null },
      { address: 0xffff_ffff_c000_0000n, type: 't', name: 'zram_write', module: 'zram' },
    ],
    KERNEL_START,
  );
  const format = { types: new Map(), paging: makePaging({ mode: '4-level' }) };
  const event = (va: bigint) => ({ kind: 'page-in', va, tags: ['mine'], cause: null }) as unknown as MonitorEvent;
  const events = [0xffff_ffff_8100_0012n, 0xffff_ffff_c000_0000n, 0x1800n].map(event);
  const tags = async (words: EntryWords) => (await words.label(events)).map((each) => each.tags);
  expect(await tags(new EntryWords(format, symbols))).toEqual([
    ['mine', 'schedule+0x12'],
    ['mine', 'zram_write [zram]'],
    ['mine'],
  ]);
  expect(await tags(new EntryWords(format))).toEqual([['mine'], ['mine'], ['mine']]);
});
