/** Records that are well-formed, and lead in circles, to the ends of memory, and to nowhere. */
import type { Random } from '../../../../src/testing/random.ts';
import {
  CALL_KINDS,
  CAPTURES,
  ENDINGS,
  FRAME_SLOTS,
  type TraceRecord,
} from '../../../../src/drivers/trace/format/records.ts';

/** Few frames, so that they meet. */
const FRAMES = [0, 1, 2, 3, 0x1000, 2 ** 40 - 1];
const ROOTS = [0x1000n, 0x2000n, 0x3000n, 0x1000018n, 0xffff_ffff_ffff_ffffn];
const VAS = [0n, 0x1000n, 0x7fff_ffff_f000n, 0xffff_8000_0000_0000n, 0xffff_ffff_ffff_ffffn, 0x8000_0000_0000n];
const LENGTHS = [0n, 1n, 0x1000n, 0x20_0000n, 0x7fff_ffff_f000n, 0x8000_0000_0000n, 0xffff_ffff_ffff_ffffn];
const NUMBERS = [0, 1, 2, 8, 255, 4096, 2 ** 32, 2 ** 51, 2 ** 53 - 1];
const TAGS = [undefined, 'tag', '', 0, -1.5, Number.NaN, Infinity];
/** Present, writable, user, large; not all of them, not always. */
const FLAGS = [0, 1, 7, 0x67, 0x87, 0xe7, 0x1e7, 0x225];

export function randomRecord(random: Random): TraceRecord {
  const one = <T>(of: readonly T[]): T => of[random.below(of.length)]!;
  const entry = (): [lo: number, hi: number] => {
    if (random.below(16) === 0) return [random.below(2 ** 32), random.below(2 ** 32)];
    const gfn = one(FRAMES);
    return [(((gfn * 4096) >>> 0) | one(FLAGS)) >>> 0, Math.floor(gfn / 2 ** 20) % 2 ** 20];
  };
  const tag = one(TAGS);
  const address = {
    view: one([0, 0, 0, 1, 2 ** 40]),
    root: one(ROOTS),
    va: one(VAS),
    ...(tag !== undefined && { tag }),
  };
  switch (random.below(14)) {
    case 0:
    case 1: {
      const words = new Uint32Array(2 * FRAME_SLOTS);
      const same = random.below(4) === 0 ? entry() : undefined;
      const [from, to] = [random.below(FRAME_SLOTS), random.below(FRAME_SLOTS + 1)];
      for (let slot = from; slot < to; slot++) words.set(same ?? entry(), 2 * slot);
      return { type: 'table', gfn: one(FRAMES), words };
    }
    case 2:
      return { type: 'no-memory', gfn: one(FRAMES) };
    case 3:
      return { type: 'left', gfns: [one(FRAMES), one(FRAMES)] };
    case 4: {
      const changes = Array.from({ length: random.below(20) }, () => {
        const [lo, hi] = entry();
        return { pa: one(FRAMES) * 4096 + random.below(FRAME_SLOTS) * 8, lo, hi };
      });
      return { type: 'changes', capture: one(CAPTURES), changes };
    }
    case 5:
      return {
        type: 'registers',
        vcpu: one(NUMBERS) % 2 ** 20,
        registers: { cr0: 1n << 31n, cr3: one(ROOTS), cr4: 0x20n, efer: 0x500n },
      };
    case 6:
      return {
        type: 'said',
        said: {
          kind: 'write',
          vcpu: random.below(3),
          view: 0,
          pa: one(FRAMES) * 4096 + random.below(4096),
          byteLength: one([1, 4, 8, 17, 2 ** 33]),
        },
      };
    case 7:
      return { type: 'said', said: { kind: 'commit', vcpu: random.below(3) } };
    case 8:
      return { type: 'said', said: { kind: 'missed', lost: one([null, 0, 1, 2 ** 50]), reason: 'fuzz' } };
    case 9:
      return { type: 'said', said: { kind: 'root-gone', root: one(FRAMES) * 4096 } };
    case 10:
    case 11: {
      const kind = one(CALL_KINDS);
      const range = kind === 'monitorRange' || kind === 'unmonitorRange';
      // What a kind does not have is left out by the encoder, or by the cast.
      const call = { kind, ...address, ...(range && { byteLength: one(LENGTHS), runs: random.below(2) === 0 }) };
      if (kind === 'unmonitorView' || kind === 'resync')
        return { type: 'call', call: { kind, view: one([undefined, 0, 1]) } };
      return { type: 'call', call: call as never };
    }
    case 12: {
      if (random.below(2) === 0) return { type: 'instant', sinceUs: one(NUMBERS) };
      const name = {
        event: random.below(3),
        skippedPages: one([0, 1, 2 ** 39]),
        pages: one([undefined, 1, 600]),
        tags: ['x', 7],
      };
      if (random.below(3) === 0) {
        const owner = one([undefined, { pid: 1, comm: 'x' }, { pid: 2 ** 31 - 2, comm: '', map: 'heap' }]);
        return { type: 'owners', runs: [{ count: one([0, 1, 2, 2 ** 53 - 1]), owner }] };
      }
      return { type: 'names', found: random.below(3), names: [name, { ...name, newMeaning: 'swap' }] };
    }
    default: {
      if (random.below(6) > 0) return { type: 'note', text: 'a note' };
      return {
        type: 'end',
        ended: one(ENDINGS),
        failure: { code: one(['read-failed', '', 'unheard-of']), message: 'so it was' },
      };
    }
  }
}
