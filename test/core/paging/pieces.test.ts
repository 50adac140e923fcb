/** Pieces of address spaces whose tables are shared: what is found once is right wherever it is met. */
import { expect, test } from 'vitest';
import { vaOf } from '../../../src/core/address/va.ts';
import { type Piece, pieces } from '../../../src/core/paging/pieces.ts';
import { rightsOf } from '../../../src/core/paging/rights.ts';
import { walk } from '../../../src/core/paging/walk.ts';
import { Random } from '../../oracle/random.ts';
import { Watched } from './enumerated.ts';
import { hex, Machine } from './machine.ts';

const SLOTS = 512;
const POOL = 4;
const tableOf = (level: number, index: number) => BigInt(level) * 0x10_0000n + BigInt(index) * 0x1000n;

/** Tables of each level from a pool of a few: whole ones, empty ones, and mixed ones. */
function shared(random: Random): Machine {
  const machine = new Machine({ mode: '4-level' });
  const flags = () => BigInt(random.pick([3, 7, 7, 1, 5])) | (random.oneIn(3) ? 1n << 63n : 0n);
  for (let level = 1; level <= 4; level++) {
    for (let index = 0; index < POOL; index++) {
      const table = tableOf(level, index);
      machine.memory.addPage(Number(table) / 4096);
      const kind = random.below(5);
      const whole = flags();
      const one = tableOf(level - 1, random.below(POOL));
      for (let slot = 0; slot < (level === 4 ? 8 : SLOTS); slot++) {
        const at = table + BigInt(slot) * 8n;
        const next = level === 1 ? BigInt(random.below(8)) * 0x1000n : tableOf(level - 1, random.below(POOL));
        const size = 4096n * 512n ** BigInt(level - 1);
        if (kind === 0) machine.put(at, one | whole);
        else if (kind === 1 && level < 4) machine.put(at, (BigInt(slot) * size) | whole | (level === 1 ? 0n : 0x80n));
        else if (kind === 2 && random.oneIn(2)) machine.put(at, next | flags());
        else if (kind === 3) machine.put(at, next | (random.oneIn(40) ? flags() : whole));
      }
    }
  }
  return machine;
}

function text(piece: Piece | undefined, page: number): string {
  if (piece === undefined) return 'nowhere';
  const { vpn, gfn, step, slotPages, rights } = piece;
  return JSON.stringify([gfn + step * (page - vpn), slotPages, rightsOf(rights)]);
}

test('they are what walks say, page by page, and are many pages each', () => {
  let compared = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const random = new Random(seed);
    const machine = shared(random);
    const root = Number(tableOf(4, 0));
    const all: Piece[] = [];
    for (const piece of pieces(machine.paging, machine.memory, root)) {
      if (piece.pages > 0) all.push({ ...piece });
      if (all.length > 4000) break;
    }
    const end = all.length > 4000 ? all.at(-1)!.vpn : 2 ** 30;
    const places = all.flatMap(({ vpn, pages }) => [vpn - 1, vpn, vpn + (pages >>> 1), vpn + pages - 1, vpn + pages]);
    const chosen = Array.from({ length: 400 }, () =>
      random.oneIn(3) ? random.below(end) : random.pick([...places, 0]),
    );
    for (const page of chosen) {
      if (page < 0 || page >= end) continue;
      const found = walk(machine.paging, machine.memory, root, vaOf(page, 0));
      const expected = found.translates
        ? JSON.stringify([found.pa / 4096, found.pageSize / 4096, found.rights])
        : 'nowhere';
      const piece = all.find(({ vpn, pages }) => page >= vpn && page < vpn + pages);
      if (text(piece, page) !== expected)
        expect(text(piece, page), `seed ${seed}, ${hex(vaOf(page, 0))}`).toBe(expected);
      compared++;
    }
    expect(all.every(({ vpn }, at) => at === 0 || vpn >= all[at - 1]!.vpn + all[at - 1]!.pages)).toBe(true);
  }
  expect(compared).toBeGreaterThan(3000);
});

test('cut by bounds they are the same pieces, cut', () => {
  const machine = shared(new Random(3));
  machine.put(tableOf(4, 0), tableOf(3, 0) | 7n);
  for (let slot = 0n; slot < 512n; slot++) machine.put(tableOf(3, 0) + slot * 8n, tableOf(2, 0) | 7n);
  for (let slot = 0n; slot < 512n; slot++) machine.put(tableOf(2, 0) + slot * 8n, tableOf(1, 0) | 7n);
  for (let slot = 0n; slot < 512n; slot++) machine.put(tableOf(1, 0) + slot * 8n, 0x5000n | 7n);
  for (const [from, to] of [
    [5, 7],
    [511, 513],
    [1000, 2 ** 27 - 3],
    [2 ** 18 - 1, 2 ** 18 + 1],
  ] as const) {
    const watched = new Watched(machine);
    const [piece, ...more] = [...pieces(machine.paging, watched, Number(tableOf(4, 0)), { from, to })].map((each) => ({
      ...each,
    }));
    expect({ piece, more }).toEqual({
      piece: { vpn: from, pages: to - from, gfn: 5, step: to - from === 1 ? 1 : 0, slotPages: 1, rights: 3 },
      more: [],
    });
    expect(watched.reads).toBeLessThan(6000);
  }
});
