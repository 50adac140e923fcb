/**
 * Work that stays as it is, of the kinds that an engine does: what the guard compares with, so that a slow machine, a busy
 * one, or a clock that jumps changes both sides alike. Nothing here may call the engine's code.
 */
import { Random } from '../../src/testing/random.ts';
import type { Work } from '../rows/work.ts';

export type ReferenceKind = 'events' | 'look-ups' | 'records';

const FRAMES = 64;
const SLOTS = 512;
const WRITES = 1024;

interface Frame {
  readonly gfn: number;
  readonly words: Uint32Array;
  readonly known: Uint32Array;
}

interface FrameEvent {
  readonly kind: 'on' | 'off';
  readonly gfn: number;
  readonly at: bigint;
  readonly names: readonly number[];
  readonly cause: { readonly pa: number; readonly value: bigint };
}

const halves = new Uint32Array(2);
const whole = new BigUint64Array(halves.buffer);

export function makeReference(kind: ReferenceKind): Work {
  return { 'look-ups': makeLookUps, events: makeEvents, records: makeRecords }[kind]();
}

function makeFrames(): Map<number, Frame> {
  const frames = Array.from({ length: FRAMES }, (_, index) => {
    return { gfn: 1000 + 3 * index, words: new Uint32Array(SLOTS), known: new Uint32Array(SLOTS) };
  });
  return new Map(frames.map((frame) => [frame.gfn, frame]));
}

function makePlan(): Int32Array {
  const random = new Random(7);
  return Int32Array.from({ length: WRITES }, () => (1000 + 3 * random.below(FRAMES)) * SLOTS + random.below(SLOTS));
}

/** A frame is found, its slot compared. */
function makeLookUps(): Work {
  const [frames, plan] = [makeFrames(), makePlan()];
  return {
    prepare() {},
    run() {
      if (lookUp(frames, plan) !== 0) throw new Error('nothing was written, yet something differs');
      return plan.length;
    },
  };
}

function lookUp(frames: ReadonlyMap<number, Frame>, plan: Int32Array): number {
  let differing = 0;
  for (let index = 0; index < plan.length; index++) {
    const place = plan[index]!;
    const { words, known } = frames.get(Math.floor(place / SLOTS))!;
    if (words[place % SLOTS] !== known[place % SLOTS]) differing++;
  }
  return differing;
}

/** A frame is found, its slot written and compared, and an event made of the difference. */
function makeEvents(): Work {
  const [frames, plan] = [makeFrames(), makePlan()];
  let kept: FrameEvent | undefined;
  return {
    prepare() {},
    run() {
      for (let index = 0; index < plan.length; index++) for (const event of write(frames, plan[index]!)) kept = event;
      if (kept === undefined) throw new Error('no event came');
      return plan.length;
    },
  };
}

function write(frames: ReadonlyMap<number, Frame>, place: number): FrameEvent[] {
  const [gfn, slot] = [Math.floor(place / SLOTS), place % SLOTS];
  const { words, known } = frames.get(gfn)!;
  words[slot] = words[slot]! ^ 1;
  const events: FrameEvent[] = [];
  if (words[slot] === known[slot]) return events;
  known[slot] = words[slot];
  const kind = words[slot] === 0 ? 'off' : 'on';
  const cause = { pa: gfn * 4096 + slot * 8, value: wide(gfn, words[slot]) };
  events.push({ kind, gfn, at: wide(slot, gfn), names: [place], cause });
  return events;
}

function wide(low: number, high: number): bigint {
  halves[0] = low;
  halves[1] = high;
  return whole[0]!;
}

/** A map of small objects is filled, and emptied again. */
function makeRecords(): Work {
  return {
    prepare() {},
    run() {
      const records = new Map<number, { readonly page: number; readonly tags: number[]; next: object | null }>();
      for (let page = 0; page < WRITES; page++) records.set(page * 7, { page, tags: [page], next: null });
      for (let page = 0; page < WRITES; page++) {
        const record = records.get(page * 7)!;
        if (record.tags[0] !== page || !records.delete(page * 7)) throw new Error(`record ${page} is lost`);
      }
      return WRITES;
    },
  };
}
