import { describe, expect, test } from 'vitest';
import {
  FRAME_ANON,
  FRAME_FREE,
  FRAME_RESERVED,
  FRAME_TABLE,
  FrameAllocator,
} from '../../../src/testing/guest/frames/frame-allocator.ts';
import { memoryMap } from '../../../src/testing/machine/memory-map.ts';
import { Random } from '../../../src/testing/random.ts';

const HIGH = 0x100000;
const RAM = memoryMap(6000, true);
const isRam = (gfn: number) => gfn > 0 && RAM.some((one) => gfn >= one.gfn && gfn < one.gfn + one.frames);

describe('the frame allocator', () => {
  test('knows what is RAM, and never gives frame 0 or a hole', () => {
    const frames = new FrameAllocator(RAM);
    const kinds = [0, 0xa0, 0xff, HIGH - 1, 1, 0x100, HIGH].map((gfn) => frames.kindOf(gfn));
    expect(kinds).toEqual([...Array(4).fill(FRAME_RESERVED), FRAME_FREE, FRAME_FREE, FRAME_FREE]);
    const seen = new Set<number>();
    for (let free = frames.free; free > 0; free--) seen.add(frames.take(FRAME_ANON));
    expect([...seen].every(isRam)).toBe(true);
    expect(frames.free).toBe(0);
    // What is left is below 4 GiB, for roots.
    expect([...frames.ofKind(FRAME_FREE)].every((gfn) => gfn < HIGH)).toBe(true);
    expect(frames.takeLow(FRAME_TABLE)).toBeLessThan(HIGH);
  });

  test('gives a frame again soon after it is freed', () => {
    const frames = new FrameAllocator(RAM);
    const table = frames.take(FRAME_TABLE);
    const page = frames.take(FRAME_ANON);
    frames.drop(table);
    frames.drop(page);
    expect([frames.take(FRAME_ANON), frames.take(FRAME_TABLE)]).toEqual([page, table]);
    expect(frames.kindOf(page)).toBe(FRAME_ANON);
  });

  test('a frame held twice is freed by the second drop, and a third is an error', () => {
    const frames = new FrameAllocator(RAM);
    const gfn = frames.take(FRAME_ANON);
    frames.hold(gfn);
    frames.drop(gfn);
    expect([frames.kindOf(gfn), frames.references(gfn)]).toEqual([FRAME_ANON, 1]);
    frames.drop(gfn);
    expect(frames.kindOf(gfn)).toBe(FRAME_FREE);
    expect(() => frames.drop(gfn)).toThrow('dropped more often');
  });

  test('promises are kept: nobody else gets what was set aside', () => {
    const frames = new FrameAllocator(RAM);
    const { free } = frames;
    expect(frames.promise(free - 10)).toBe(true);
    expect(frames.promise(11)).toBe(false);
    expect(frames.takeLarge(FRAME_ANON, 9)).toBe(-1);
    frames.keepPromise(free - 10);
    expect(frames.promise(free)).toBe(true);
  });

  test('more than was promised is an error, not somebody else’s frame', () => {
    const frames = new FrameAllocator(memoryMap(2, false));
    expect(frames.take(FRAME_ANON)).toBe(1);
    expect(() => frames.take(FRAME_ANON)).toThrow('out of memory');
  });

  test('blocks are aligned, pairs are neighbours, and everything comes together again', () => {
    const frames = new FrameAllocator(RAM);
    const { free } = frames;
    const large = frames.takeLarge(FRAME_ANON, 9);
    expect([large % 512, large >= HIGH]).toEqual([0, true]);
    const pair = frames.takePair(FRAME_TABLE, true);
    expect([pair % 2, pair < HIGH]).toEqual([0, true]);
    for (let n = 0; n < 512; n++) frames.drop(large + n);
    for (let n = 0; n < 2; n++) frames.drop(pair + n);
    expect(frames.free).toBe(free);
    let blocks = 0;
    while (frames.takeLarge(FRAME_ANON, 9) >= 0) blocks++;
    // Above 4 GiB 5 whole blocks; below it, 0x200 to 0xc57 are 5 more, less what is kept back for roots.
    expect(blocks).toBe(10);
  });

  test.each([1, 2, 3, 4])(
    'whatever is taken and dropped (seed %d), no frame has two owners and none is lost',
    (seed) => {
      const random = new Random(seed);
      const frames = new FrameAllocator(RAM);
      const { free } = frames;
      const owned = new Map<number, number>();
      const clashes: number[] = [];
      const own = (gfn: number, count: number) => {
        for (let n = 0; gfn >= 0 && n < count; n++) {
          if (owned.has(gfn + n) || !isRam(gfn + n)) clashes.push(gfn + n);
          owned.set(gfn + n, 1);
        }
      };
      for (let step = 0; step < 3000; step++) {
        const order = random.pick([1, 3, 9]);
        switch (random.below(6)) {
          case 0:
            own(frames.takeLarge(FRAME_ANON, order), 2 ** order);
            break;
          case 1:
            own(frames.takePair(FRAME_TABLE, random.oneIn(2)), 2);
            break;
          case 2:
            if (frames.free > 0) own(frames.take(FRAME_ANON), 1);
            break;
          default:
            for (const gfn of [...owned.keys()].slice(0, random.below(60))) {
              frames.drop(gfn);
              owned.delete(gfn);
            }
        }
      }
      for (const gfn of owned.keys()) frames.drop(gfn);
      expect(clashes).toEqual([]);
      expect(frames.free).toBe(free);
    },
  );
});
