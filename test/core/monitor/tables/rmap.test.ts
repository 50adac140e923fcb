/** The nodes of a frame are those that came and did not go, in the order in which they came (rule C6). */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NodesByFrame } from '../../../../src/core/monitor/tables/rmap.ts';
import type { TableNode } from '../../../../src/core/monitor/tables/table-node.ts';

/** All that `NodesByFrame` looks at: page tables that are plain where they are alone. */
function nodeOn(gfn: number): TableNode {
  const node = {
    frame: { gfn },
    nextInFrame: null,
    previousInFrame: null,
    plainCount: 1,
    comparePlain: () => (node.plainCount = node.nextInFrame === null ? 1 : 0),
  };
  return node as unknown as TableNode;
}

function listOf(nodes: NodesByFrame, gfn: number): TableNode[] {
  const list: TableNode[] = [];
  for (let node = nodes.firstIn(gfn); node !== null; node = node.nextInFrame) list.push(node);
  return list;
}

test('whoever comes and goes', () => {
  const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.option(fc.nat())), { maxLength: 80 });
  fc.assert(
    fc.property(steps, (each) => {
      const nodes = new NodesByFrame();
      const model = new Map<number, TableNode[]>();
      for (const [gfn, goes] of each) {
        const list = model.get(gfn) ?? [];
        if (goes === null || list.length === 0) {
          const node = nodeOn(gfn);
          nodes.attach(node);
          model.set(gfn, [...list, node]);
        } else {
          const [gone] = list.splice(goes % list.length, 1);
          nodes.detach(gone!);
          expect([gone!.nextInFrame, gone!.previousInFrame]).toEqual([null, null]);
          if (list.length === 0) model.delete(gfn);
        }
        for (let frame = 0; frame <= 3; frame++) {
          const expected = model.get(frame) ?? [];
          const found = listOf(nodes, frame);
          expect(found.length).toBe(expected.length);
          expect(found.every((node, index) => node === expected[index])).toBe(true);
          if (found.length > 0) expect(found[0]!.plainCount).toBe(found.length === 1 ? 1 : 0);
        }
        expect(nodes.size).toBe(model.size);
        expect(new Set(nodes.firsts())).toEqual(new Set([...model.values()].map(([first]) => first)));
      }
    }),
  );
});
