/**
 * Guests written by hand to break a rule, each in all orders: every write of `play` is in memory and processed at once, in memory at once, or
 * later (`When`), and the watches begin before, among or after them. The oracle watches the same (`prove.ts`).
 */
import type { Op, Program, When } from './program.ts';

type Head = Omit<Program, 'source' | 'end' | 'ops'>;

export interface Hostility extends Head {
  /** What is there before. */
  readonly setup: readonly Op[];
  readonly watches: readonly Op[];
  /** Writes, most of them by two vCPUs, whose `w` is set by `ordersOf`. */
  readonly play: readonly Op[];
}

/** The twelve frames that are memory, side by side, and some that are not. */
const FRAMES = {
  frames: [...Array.from({ length: 12 }, (_, index) => 0x200 + index), 0x1000, 0x1001, 0x1400, 0x2000],
  ram: 12,
};
/** Frame indices beyond memory. */
const [LEAF, NEXT, PSE, OTHER] = [12, 13, 14, 15];

const TABLE = 7;
const LARGE = 0x87;

/** Entry `s` (index into `slots`) of frame `f`. */
const set = (f: number, s: number, v: readonly [number, number] | '0x0', c = 0): Op => {
  return { k: 'set', f, s, v, c, w: 2 };
};
/** Bytes `skip` to `skip + n` of two entries, from byte `o` of frame `f` on. */
const wide = (
  { f, o, skip, n }: { f: number; o: number; skip: number; n: number },
  v: readonly (readonly [number, number])[],
  c = 0,
): Op => {
  return { k: 'wide', f, o, v, skip, n, c, w: 2 };
};

export const BY_HAND: Readonly<Record<string, Hostility>> = {
  'two PAE roots in one frame, and writes that straddle both': {
    ...{ mode: 'pae', views: 1, ...FRAMES, kinds: ['protection', 'restructure'] },
    roots: [
      [0, 0],
      [0, 32],
    ],
    slots: [0, 1, 3, 4, 5],
    vas: ['0xc0000000', '0xc0001000', '0x0', '0x200000'],
    setup: [
      set(0, 2, [2, 1]),
      set(0, 3, [3, 1]),
      set(2, 0, [4, TABLE]),
      set(4, 0, [LEAF, TABLE]),
      set(3, 0, [4, TABLE]),
    ],
    watches: [
      { k: 'monitor', g: 0, r: 0, a: 0, t: 'a' },
      { k: 'range', g: 0, r: 1, a: 2, n: 0x2000, t: 'b', runs: true },
      { k: 'monitor', g: 0, r: 0, a: 1 },
    ],
    play: [
      wide({ f: 0, o: 28, skip: 4, n: 8 }, [
        [3, 1],
        [2, 1],
      ]),
      wide(
        { f: 0, o: 24, skip: 0, n: 16 },
        [
          [3, 1],
          [2, 1],
        ],
        1,
      ),
      set(3, 1, [PSE, LARGE], 1),
      wide({ f: 4, o: 3, skip: 3, n: 7 }, [
        [NEXT, TABLE],
        [OTHER, TABLE],
      ]),
    ],
  },
  'a PAE root that is its own page directory and page table': {
    ...{ mode: 'pae', views: 1, ...FRAMES, roots: [[0, 0]], slots: [0, 1, 2, 3], kinds: ['protection'] },
    vas: ['0x0', '0x1000', '0x200000', '0x40000000', '0xc0003000'],
    setup: [set(0, 0, [0, 1]), set(0, 1, [1, 1]), set(1, 0, [0, TABLE])],
    watches: [
      { k: 'range', g: 0, r: 0, a: 0, n: 0x4000, t: 1 },
      { k: 'monitor', g: 0, r: 0, a: 2, t: 2 },
      { k: 'monitor', g: 0, r: 0, a: 3 },
      { k: 'range', g: 0, r: 0, a: 4, n: 0x2000 },
    ],
    play: [
      set(0, 3, [0, 1]),
      wide(
        { f: 0, o: 6, skip: 6, n: 4 },
        [
          [0, 1],
          [2, 1],
        ],
        1,
      ),
      set(0, 0, '0x0', 1),
      set(0, 1, [0, 1]),
    ],
  },
  'a 32-bit directory that maps itself, by a table and by 4 MiB': {
    ...{ mode: '32-bit', views: 2, ...FRAMES, roots: [[0, 0]], slots: [0, 1, 2, 1023], kinds: ['restructure'] },
    vas: ['0x0', '0xfffff000', '0xffc00000', '0x400000'],
    setup: [set(0, 3, [0, TABLE]), set(0, 0, [1, TABLE]), set(1, 0, [LEAF, TABLE]), set(1, 1, [NEXT, TABLE])],
    watches: [
      { k: 'monitor', g: 0, r: 0, a: 0, t: 'first' },
      { k: 'monitor', g: 1, r: 0, a: 1, t: 'itself' },
      { k: 'range', g: 0, r: 0, a: 2, n: 0x4000, runs: true },
      { k: 'range', g: 1, r: 0, a: 3, n: 0x2000 },
    ],
    play: [
      wide({ f: 0, o: 4094, skip: 2, n: 4 }, [
        [PSE, LARGE],
        [OTHER, TABLE],
      ]),
      wide(
        { f: 0, o: 2, skip: 2, n: 5 },
        [
          [1, TABLE],
          [1, TABLE],
        ],
        1,
      ),
      set(0, 3, [0, TABLE], 1),
      set(0, 0, '0x0'),
    ],
  },
  'both ends of the canonical hole, by the same tables': {
    ...{ mode: '4-level', views: 1, ...FRAMES, roots: [[0, 0]], slots: [0, 255, 256, 511] },
    vas: ['0x7ffffffff000', '0xffff800000000000', '0x7fffffffe000'],
    setup: [
      ...[set(0, 1, [1, TABLE]), set(0, 2, [1, TABLE]), set(1, 3, [2, TABLE]), set(1, 0, [2, TABLE])],
      ...[set(2, 3, [3, TABLE]), set(2, 0, [3, TABLE]), set(3, 3, [LEAF, TABLE]), set(3, 0, [NEXT, TABLE])],
    ],
    watches: [
      { k: 'range', g: 0, r: 0, a: 2, n: 0x2000, t: 'x', runs: true },
      { k: 'range', g: 0, r: 0, a: 1, n: 0x2000, t: 'x', runs: true },
      // Across the hole, which is refused.
      { k: 'range', g: 0, r: 0, a: 0, n: 0x3000, t: 'x' },
      { k: 'monitor', g: 0, r: 0, a: 1, t: 'y' },
    ],
    play: [
      wide({ f: 0, o: 2044, skip: 4, n: 8 }, [
        [1, TABLE],
        [4, TABLE],
      ]),
      wide(
        { f: 2, o: 4092, skip: 4, n: 8 },
        [
          [3, TABLE],
          [OTHER, TABLE],
        ],
        1,
      ),
      set(3, 3, '0x0', 1),
      wide(
        { f: 0, o: 2040, skip: 0, n: 16 },
        [
          [4, TABLE],
          [1, TABLE],
        ],
        1,
      ),
    ],
  },
  'one write that makes a table of the next frame, and its first entry': {
    ...{
      mode: '4-level',
      views: 1,
      ...FRAMES,
      roots: [[0, 0]],
      slots: [0, 1, 511],
      kinds: ['protection', 'restructure'],
    },
    vas: ['0x3fe00000', '0x3fe01000', '0x3fdff000'],
    setup: [set(0, 0, [1, TABLE]), set(1, 0, [2, TABLE])],
    watches: [
      { k: 'monitor', g: 0, r: 0, a: 0, t: 'a' },
      { k: 'range', g: 0, r: 0, a: 2, n: 0x3000, runs: true, t: 'b' },
      { k: 'monitor', g: 0, r: 0, a: 1 },
    ],
    play: [
      wide({ f: 2, o: 4088, skip: 0, n: 16 }, [
        [3, TABLE],
        [LEAF, TABLE],
      ]),
      set(3, 1, [NEXT, TABLE], 1),
      wide(
        { f: 2, o: 4092, skip: 4, n: 8 },
        [
          [3, TABLE],
          [OTHER, TABLE],
        ],
        1,
      ),
      set(1, 0, [3, TABLE]),
    ],
  },
  'a table that serves every level of two views': {
    ...{
      mode: '5-level',
      views: 2,
      ...FRAMES,
      roots: [
        [0, 0],
        [1, 0],
      ],
      slots: [0, 1, 511],
      kinds: ['protection'],
    },
    vas: ['0x0', '0x1000', '0xffffffffffe00000', '0x1000000000000'],
    setup: [set(0, 0, [0, TABLE]), set(0, 2, [0, TABLE]), set(1, 0, [0, TABLE]), set(1, 2, [1, TABLE])],
    watches: [
      { k: 'monitor', g: 0, r: 0, a: 0, t: 'a' },
      { k: 'range', g: 1, r: 1, a: 0, n: 0x3000, t: 'b', runs: true },
      { k: 'range', g: 0, r: 0, a: 2, n: 0x2000, runs: true },
      { k: 'monitor', g: 1, r: 0, a: 3 },
    ],
    play: [
      wide({ f: 0, o: 4092, skip: 4, n: 8 }, [
        [1, TABLE],
        [LEAF, TABLE],
      ]),
      set(0, 0, [1, 5], 1),
      set(0, 1, [0, TABLE]),
      set(1, 2, '0x0', 1),
    ],
  },
};

const WHEN: readonly When[] = [0, 1, 2];

/** All programs of one: in each order of its watches among its writes, with each choice of when these land. */
export function* ordersOf({ setup, watches, play, ...head }: Hostility): Generator<Program> {
  for (let choice = 0; choice < WHEN.length ** play.length; choice++) {
    const writes = play.map((op, index): Op => {
      return { ...op, w: WHEN[Math.floor(choice / WHEN.length ** index) % WHEN.length]! } as Op;
    });
    for (let at = 0; at <= play.length; at++) {
      const first = (choice + at) % 2;
      const ops: Op[] = [...setup, ...writes.slice(0, at), ...watches, ...writes.slice(at)];
      ops.push({ k: 'commit', c: first }, { k: 'commit', c: 1 - first });
      yield { ...head, source: 'trap', end: choice, ops };
    }
  }
}
