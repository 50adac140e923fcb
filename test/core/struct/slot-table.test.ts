/** A table of slots does what a sorted map does, as a window, as a list, and on the way from one to the other. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SlotTable } from '../../../src/core/struct/slot-table.ts';

const SLOTS = 512;

/** Everything that a table holds, slot by slot: the words of its record, and its item. */
function contentOf(table: SlotTable<string>): [slot: number, words: number[], item: string | null][] {
  const content: [number, number[], string | null][] = [];
  for (let at = table.firstFrom(0); at >= 0; at = table.nextAfter(at)) {
    const words = [...table.words.subarray(at * table.stride, (at + 1) * table.stride)];
    content.push([table.slotAt(at), words, table.itemAt(at)]);
  }
  return content;
}

function add(table: SlotTable<string>, slot: number): void {
  const position = table.insert(slot);
  expect([...table.words.subarray(position * table.stride, (position + 1) * table.stride)]).toEqual(
    Array.from({ length: table.stride }, () => 0),
  );
  expect(table.itemAt(position)).toBeNull();
  table.words[position * table.stride] = slot;
  table.words[position * table.stride + 1] = 0xffff_ffff - slot;
  if (slot % 3 === 0) table.setItem(position, `item ${slot}`);
}

const recordOf = (slot: number, stride: number): [number, number[], string | null] => [
  slot,
  [slot, 0xffff_ffff - slot, 0, 0].slice(0, stride),
  slot % 3 === 0 ? `item ${slot}` : null,
];

// Runs, clusters, and slots far apart.
const slots = fc.oneof(
  fc.integer({ min: 0, max: SLOTS - 1 }),
  fc.integer({ min: 200, max: 230 }),
  fc.integer({ min: 0, max: 3 }),
  fc.integer({ min: 60, max: 66 }).map((slot) => slot * 7),
);

describe('a table of slots', () => {
  test('does what a sorted map does, whatever comes and goes', () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), slots), { maxLength: 400 });
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 9 }), (each, adding) => {
        const table = new SlotTable<string>(2);
        const model = new Set<number>();
        for (const [kind, slot] of each) {
          const position = table.find(slot);
          expect(position >= 0).toBe(model.has(slot));
          if (position < 0 && kind <= adding) {
            add(table, slot);
            model.add(slot);
          } else if (position >= 0 && kind > adding) {
            table.remove(position);
            model.delete(slot);
          } else if (kind === 9 && table.stride === 2) {
            table.widen(4);
          }
          const sorted = [...model].sort((a, b) => a - b);
          expect(table.slotCount).toBe(sorted.length);
          if (table.isGapless) expect(sorted).toEqual(sorted.map((_, position) => table.slotAt(position)));
          const next = table.firstFrom(slot);
          expect(next < 0 ? undefined : table.slotAt(next)).toBe(sorted.find((other) => other >= slot));
        }
        const sorted = [...model].sort((a, b) => a - b);
        expect(contentOf(table)).toEqual(sorted.map((slot) => recordOf(slot, table.stride)));
        for (const slot of sorted) expect(table.slotAt(table.find(slot))).toBe(slot);
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    ['a run, ascending', Array.from({ length: 512 }, (_, slot) => slot)],
    ['a run, descending', Array.from({ length: 512 }, (_, slot) => 511 - slot)],
    ['every other slot', Array.from({ length: 256 }, (_, index) => 2 * index)],
    ['from the middle outwards', Array.from({ length: 200 }, (_, i) => 256 + (i % 2 === 0 ? i / 2 : -(i + 1) / 2))],
  ])('%s takes no more than twice its span', (_, each) => {
    const table = new SlotTable<string>(2);
    for (const slot of each) add(table, slot);
    const span = Math.max(...each) - Math.min(...each) + 1;
    expect(table.capacity).toBeLessThan(2 * span + 1);
    expect(contentOf(table)).toEqual([...each].sort((a, b) => a - b).map((slot) => recordOf(slot, 2)));
  });

  test.each([2, 5, 20, 60])('%i slots far apart take no more than room for eight each', (count) => {
    const table = new SlotTable<string>(2);
    for (let index = 0; index < count; index++) add(table, Math.floor((index * 511) / (count - 1)));
    expect(table.capacity).toBeLessThanOrEqual(Math.max(4, 8 * count));
  });

  test('gives room back', () => {
    const table = new SlotTable<string>(2);
    for (let slot = 0; slot < 512; slot++) add(table, slot);
    for (let slot = 0; slot < 511; slot++) table.remove(table.find(slot));
    expect(table.capacity).toBeLessThanOrEqual(8);
    expect(contentOf(table)).toEqual([recordOf(511, 2)]);
  });
});
