/** The nodes of a frame are those that came and did not go, in the order in which they came (rule C6). */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ReverseMap } from '../../../../src/core/monitor/tables/rmap.ts';
import type { TableNode } from '../../../../src/core/monitor/tables/table-node.ts';

/** The fields that `ReverseMap` reads and writes; `changes` counts what it says of the node's shape. */
function nodeOn(gfn: number): TableNode {
  const node = {
    frame: { gfn },
    nextInFrame: null,
    previousInFrame: null,
    changes: 0,
    space: { entrySet: { version: 0 } },
    forgetShape: () => (node.changes += 1),
  };
  return node as unknown as TableNode;
}

const changesOf = (node: TableNode | undefined): number => (node as unknown as { changes: number })?.changes ?? 0;

function listOf(nodes: ReverseMap, gfn: number): TableNode[] {
  const list: TableNode[] = [];
  for (let node = nodes.firstIn(gfn); node !== null; node = node.nextInFrame) list.push(node);
  return list;
}

test('any order of coming and going', () => {
  const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.option(fc.nat())), { maxLength: 80 });
  fc.assert(
    fc.property(steps, (each) => {
      const nodes = new ReverseMap();
      const model = new Map<number, TableNode[]>();
      for (const [gfn, goes] of each) {
        const list = model.get(gfn) ?? [];
        if (goes === null || list.length === 0) {
          const node = nodeOn(gfn);
          const before = changesOf(list[0]);
          nodes.attach(node);
          expect(changesOf(list[0]) > before).toBe(list.length > 0);
          model.set(gfn, [...list, node]);
        } else {
          const [gone] = list.splice(goes % list.length, 1);
          const before = changesOf(list[0]);
          nodes.detach(gone!);
          expect(changesOf(list[0]) > before).toBe(list.length > 0);
          expect([gone!.nextInFrame, gone!.previousInFrame]).toEqual([null, null]);
          if (list.length === 0) model.delete(gfn);
        }
        for (let frame = 0; frame <= 3; frame++) {
          const expected = model.get(frame) ?? [];
          const found = listOf(nodes, frame);
          expect(found.length).toBe(expected.length);
          expect(found.every((node, index) => node === expected[index])).toBe(true);
        }
        expect(nodes.size).toBe(model.size);
        expect(new Set(nodes.firsts())).toEqual(new Set([...model.values()].map(([first]) => first)));
      }
    }),
  );
});
