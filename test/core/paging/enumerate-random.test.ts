/** Enumeration beside the oracle: every page of a window translated one by one, then put together. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type MappedRange, mappedRanges } from '../../../src/core/paging/enumerate.ts';
import { naiveWalk } from '../../oracle/naive-walk.ts';
import { DEPTH, hex, Machine, MODES } from './machine.ts';

const FRAMES = 5n;

interface Piece {
  va: bigint;
  bytes: bigint;
  readonly pa: bigint;
  readonly how: string;
}

/** The pages of [from, to), merged by the rule's own words: contiguous on both sides, equal rights, equal page size. */
function naiveRanges(machine: Machine, root: bigint, from: bigint, to: bigint): Piece[] {
  const pieces: Piece[] = [];
  for (let va = from; va < to; va += 4096n) {
    const answer = naiveWalk(machine.options, machine.read, root, va);
    if ('reason' in answer) continue;
    const how = `${answer.pageSize} ${answer.writable} ${answer.user} ${answer.noExecute} ${answer.key}`;
    const last = pieces.at(-1);
    if (last?.how === how && last.va + last.bytes === va && last.pa + last.bytes === answer.pa) last.bytes += 4096n;
    else pieces.push({ va, bytes: 4096n, pa: answer.pa, how });
  }
  return pieces;
}

const pieceOf = ({ va, byteLength, pa, pageSize, rights }: MappedRange): Piece => ({
  va,
  bytes: BigInt(byteLength),
  pa: BigInt(pa),
  how: `${pageSize} ${rights.writable} ${rights.user} ${rights.noExecute} ${rights.protectionKey}`,
});

const plain = (pieces: readonly Piece[]) =>
  pieces.map((piece) => `${hex(piece.va)}+${hex(piece.bytes)} -> ${hex(piece.pa)} ${piece.how}`);

/** Tables of a handful of frames that name each other and pages; entry values follow each other often, so ranges grow. */
const entryOf = (mode: (typeof MODES)[number]) =>
  fc
    .tuple(
      fc.bigInt({ min: 0n, max: FRAMES }),
      mode === 'pae' ? fc.constantFrom(0x01n, 0x19n, 0x27n, 0xa7n) : fc.constantFrom(0x27n, 0x27n, 0x25n, 0xa7n),
      fc.constantFrom(0n, 0n, 0n, 0n, 1n << 63n, 1n << 59n, 1n << 45n),
    )
    .map(([frame, flags, high]) => (frame << 12n) | flags | high);

/** Runs of slots of a table, each filled with an entry that grows by a step from slot to slot. */
const fillOf = (mode: (typeof MODES)[number]) =>
  fc.record({
    frame: fc.integer({ min: 0, max: Number(FRAMES) - 1 }),
    slot: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 1023 })),
    count: fc.integer({ min: 1, max: 40 }),
    entry: entryOf(mode),
    step: fc.constantFrom(0n, 0n, 0x1000n),
  });

const BASES: Readonly<Record<(typeof MODES)[number], readonly bigint[]>> = {
  '5-level': [0n, 0x00ff_ffff_ffff_0000n, 0xff00_0000_0000_0000n, 0xffff_ffff_ffc0_0000n],
  '4-level': [0n, 0x0000_7fff_ffff_0000n, 0xffff_8000_0000_0000n, 0xffff_ffff_ffc0_0000n],
  pae: [0n, 0x3fff_0000n, 0xffc0_0000n],
  '32-bit': [0n, 0x3fff_0000n, 0xffc0_0000n],
};

describe.each(MODES)('Enumeration of %s tables, beside the oracle', (mode) => {
  test('windows of random tables', () => {
    let found = 0;
    let merged = 0;
    fc.assert(
      fc.property(
        fc.array(fillOf(mode), { minLength: 4, maxLength: 14 }),
        fc.integer({ min: 0, max: Number(FRAMES) - 1 }),
        fc.constantFrom(...BASES[mode]),
        fc.integer({ min: 0, max: 600 }),
        fc.integer({ min: 1, max: 90 }),
        fc.integer({ min: 0, max: 4095 }),
        (fills, rootFrame, base, skip, pages, odd) => {
          const machine = new Machine({ mode, physicalAddressBits: 45 });
          for (let frame = 0; frame < FRAMES; frame++) machine.memory.addPage(frame);
          const slots = mode === '32-bit' ? 1024 : 512;
          for (const { frame, slot, count, entry, step } of fills) {
            for (let index = 0; index < count; index++) {
              const pa = BigInt(frame * 4096 + ((slot + index) % slots) * machine.entryBytes);
              machine.put(pa, BigInt.asUintN(machine.entryBytes * 8, entry + BigInt(index) * step));
            }
          }
          // The window's own page table gets a run of pages, or nearly all windows are empty.
          const own = machine.entryPa(1, BigInt((rootFrame + 2) % Number(FRAMES)) << 12n, base);
          for (let slot = 0n; slot < 30n; slot++) {
            const pa = own + (slot + 3n) * BigInt(machine.entryBytes);
            if (pa >> 12n === own >> 12n)
              machine.put(pa, 0x7_0027n + slot * 0x1000n + (slot % 11n === 0n ? 0x5000n : 0n));
          }
          const root = BigInt(rootFrame) << 12n;
          // Something on the walk to the window, or nearly all of it is holes.
          for (let level = DEPTH[mode]; level > 1; level--) {
            const next = BigInt((rootFrame + level) % Number(FRAMES)) << 12n;
            const table = level === DEPTH[mode] ? root : BigInt((rootFrame + level + 1) % Number(FRAMES)) << 12n;
            machine.put(machine.entryPa(level, table, base), next | (mode === 'pae' && level === 3 ? 1n : 0x27n));
          }

          const from = base + BigInt(skip % 40) * 4096n;
          const limit = mode === '4-level' || mode === '5-level' ? 1n << 64n : 1n << 32n;
          const end = from + BigInt(pages) * 4096n;
          const to = end < limit ? end : limit;
          // Bounds need not be aligned: a page counts where any byte of it is within.
          const loose = { from: from + BigInt(odd), to: to - BigInt(odd) > from + BigInt(odd) ? to - BigInt(odd) : to };
          const expected = naiveRanges(machine, root, from, to);
          const ranges = [...mappedRanges(machine.paging, machine.memory, root, loose)].map(pieceOf);
          expect(plain(ranges)).toEqual(plain(expected));
          found += ranges.length;
          if (ranges.some((range) => range.bytes > 4096n)) merged++;

          const leaves = [...mappedRanges(machine.paging, machine.memory, root, { from, to, merge: false })].map(
            pieceOf,
          );
          expect(plain(joined(leaves))).toEqual(plain(expected));
        },
      ),
      { numRuns: 250 },
    );
    expect(found).toBeGreaterThan(150);
    expect(merged).toBeGreaterThan(30);
  });

  test('the whole address space of sparse tables, at random addresses and at the ends of each range', () => {
    let inside = 0;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.integer({ min: 1, max: 3 }), entryOf(mode)), {
          minLength: 1,
          maxLength: 3,
        }),
        fc.array(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { minLength: 8, maxLength: 8 }),
        (mappings, probes) => {
          const machine = new Machine({ mode });
          const bits = { '5-level': 57, '4-level': 48, pae: 32, '32-bit': 32 }[mode];
          const canonical = (va: bigint) =>
            bits === 32 ? va & 0xffff_ffffn : BigInt.asUintN(64, BigInt.asIntN(bits, va));
          for (const [wide, level, value] of mappings) {
            const va = canonical(wide);
            machine.chain(va, Math.min(level, DEPTH[mode] - 1), BigInt.asUintN(machine.entryBytes * 8, value | 0xa7n));
          }
          const root = BigInt(DEPTH[mode]) * 0x10000n + 0x1000n;
          const ranges = [...mappedRanges(machine.paging, machine.memory, root)].map(pieceOf);
          const edges = ranges.flatMap(({ va, bytes }) => [va - 4096n, va, va + bytes - 4096n, va + bytes]);
          for (const probe of [...probes, ...mappings.map(([wide]) => wide), ...edges.slice(0, 80)]) {
            const va = canonical(BigInt.asUintN(64, probe)) & ~0xfffn;
            const answer = naiveWalk(machine.options, machine.read, root, va);
            const range = ranges.find((candidate) => candidate.va <= va && va < candidate.va + candidate.bytes);
            const ours = range === undefined ? 'nothing' : hex(range.pa + va - range.va);
            expect(`${hex(va)}: ${ours}`).toBe(`${hex(va)}: ${'reason' in answer ? 'nothing' : hex(answer.pa)}`);
            if (range !== undefined) inside++;
          }
          for (const [index, range] of ranges.entries()) {
            if (index > 0) expect(range.va >= ranges[index - 1]!.va + ranges[index - 1]!.bytes).toBe(true);
          }
        },
      ),
      { numRuns: 60 },
    );
    expect(inside).toBeGreaterThan(60);
  });
});

/** Leaves put together again. */
function joined(leaves: readonly Piece[]): Piece[] {
  const pieces: Piece[] = [];
  for (const leaf of leaves) {
    const last = pieces.at(-1);
    const goesOn = last?.how === leaf.how && last.va + last.bytes === leaf.va && last.pa + last.bytes === leaf.pa;
    if (goesOn) last.bytes += leaf.bytes;
    else pieces.push({ ...leaf });
  }
  return pieces;
}
