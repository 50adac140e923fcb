/** Walks that led elsewhere are found by any of their entries, however far each reaches (rule C4). */
import { expect, test } from 'vitest';
import { NumberList } from '../../../../src/core/struct/number-list.ts';
import { FormerWalks } from '../../../../src/core/monitor/batch/former-walks.ts';
import { TouchedPages } from '../../../../src/core/monitor/reporting/touched-pages.ts';
import { AddressSpace } from '../../../../src/core/monitor/tables/address-space.ts';
import { TableFrame } from '../../../../src/core/monitor/tables/table-frame.ts';
import { TableNode } from '../../../../src/core/monitor/tables/table-node.ts';
import { toPa } from '../../../../src/core/address/pa.ts';
import { makePaging } from '../../../../src/core/paging/format.ts';

const paging = makePaging({ mode: '4-level' });

test.each([
  [1, 2],
  [2, 1],
  [1, 3],
  [3, 2],
])('one entry of a self-mapped table at levels %i and %i, both from page 0 on', (...levels) => {
  const space = new AddressSpace({ paging, maxRangePages: 2 ** 20, entrySet: { version: 0 } }, 0, toPa(0x5000));
  const former = new FormerWalks(8);
  for (const level of levels) {
    const node = new TableNode({ space, format: paging.byLevel[level]!, parent: null, firstPage: 0, firstSlot: 0 });
    node.insert(0);
    node.frame = new TableFrame(5);
    former.add(node);
  }
  const entries = new NumberList();
  entries.push(0x5000);
  const touched = new TouchedPages();
  former.addTouched(entries, touched);
  expect(touched.has(space, 0)).toBe(true);
  expect(touched.has(space, 512 ** (Math.max(...levels) - 1) - 1)).toBe(true);
});
