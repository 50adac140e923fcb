/** Writes to page tables that are plain, were plain, or never are: events and states are the same with the fast path and without it. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { MonitorEvent } from '../../../../src/core/monitor/events.ts';
import { A, D, PWU, Rig, type RigOptions, W, XD } from '../rig.ts';

const VA = 0x7f12_3440_5000n;
const PAGES = 8;
/** More than it takes until the fast path looks whether a table is plain. */
const WARM_UP = 10;
const USE: Step = { does: 'write', writes: [{ page: 0, bits: A }] };

const page = fc.nat({ max: PAGES - 1 });
const tag = fc.constantFrom(undefined, 1, 7, -1, 2 ** 32, 'text');
const offset = fc.constantFrom(0n, 0n, 0x123n);
const bits = fc.constantFrom(1n, 1n, 1n, A, D, A | D, W, 0x1000n, 1n << 40n, (1n << 40n) | 1n, 1n << 51n, XD);
const write = fc.record({ page, bits });
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      does: fc.constant('write' as const),
      writes: fc.array(write, { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('monitor' as const), page, tag, offset }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('unmonitor' as const), page, tag, offset }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constantFrom('range' as const, 'unrange' as const), page }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const start = fc.record({
  tag: fc.constantFrom(undefined, 0, 'text'),
  offset,
  runs: fc.boolean(),
  kinds: fc.constantFrom<NonNullable<RigOptions['kinds']>>([], ['protection']),
});
type Start = typeof start extends fc.Arbitrary<infer T> ? T : never;

function built(fastPath: boolean, { kinds, tag: its, offset: at }: Start) {
  const rig = new Rig({ fastPath, kinds });
  const root = rig.frame();
  // Beyond 2^31, as real frames are.
  for (let index = 0; index < PAGES; index++)
    rig.build(root, vaOf(index), (0x1_2345n << 20n) | BigInt(index << 12) | PWU);
  for (let index = 0; index < PAGES; index++) {
    rig.monitor.monitor({ root, va: vaOf(index) + at, ...(its === undefined ? {} : { tag: its === 0 ? index : its }) });
  }
  return { rig, root };
}

const vaOf = (index: number): bigint => VA + BigInt(index) * 0x1000n;

function take({ rig, root }: ReturnType<typeof built>, given: Step, runs: boolean): unknown {
  const { monitor } = rig;
  switch (given.does) {
    case 'write':
      return [given.writes.map((each) => writeTo(rig, root, each)), byAddress(monitor.processDirtyEntries(0))];
    case 'monitor':
      return monitor.monitor({ root, va: vaOf(given.page) + given.offset, ...tagged(given.tag) });
    case 'unmonitor':
      return monitor.unmonitor({ root, va: vaOf(given.page) + given.offset, ...tagged(given.tag) });
    case 'range':
      return monitor.monitorRange({ root, va: vaOf(given.page), byteLength: 0x3000n, tag: 'range', runs });
    case 'unrange':
      return monitor.unmonitorRange({ root, va: vaOf(given.page), byteLength: 0x3000n });
  }
}

/** The fast path follows marks in their order, the general way by address. */
const byAddress = (events: MonitorEvent[]) => events.sort((a, b) => Number(a.va - b.va));

const tagged = (its: number | string | undefined) => (its === undefined ? {} : { tag: its });

function writeTo(rig: Rig, root: number, { page: index, bits: changed }: { page: number; bits: bigint }): boolean {
  const pa = rig.entry(root, vaOf(index), 1);
  const isMonitored = rig.monitor.markDirtyEntry(pa, 0, 0);
  rig.poke(pa, rig.read(pa) ^ changed);
  return isMonitored;
}

test('with the fast path and without it', () => {
  fc.assert(
    fc.property(start, fc.array(step, { maxLength: 16, size: 'max' }), (from, steps) => {
      const [fast, slow] = [built(true, from), built(false, from)];
      const all = [...Array.from({ length: WARM_UP }, () => USE), ...steps];
      expect(all.map((each) => take(fast, each, from.runs))).toEqual(all.map((each) => take(slow, each, from.runs)));
      expect(fast.rig.monitor.dump()).toEqual(slow.rig.monitor.dump());
      expect(fast.rig.monitor.resync()).toEqual([]);
    }),
    { numRuns: 200 },
  );
});

test('an event of a plain table comes after those of a range that the same batch reports before it', () => {
  const rig = new Rig({ fastPath: true });
  const [ranged, plain] = [rig.frame(), rig.frame()];
  for (const root of [ranged, plain]) rig.build(root, VA, 0x5000n | PWU);
  rig.monitor.monitorRange({ root: ranged, va: VA, byteLength: 0x1000n });
  rig.monitor.monitor({ root: plain, va: VA, tag: 1 });
  for (let times = 0; times < WARM_UP; times++) take({ rig, root: plain }, USE, false);
  for (const root of [ranged, plain]) writeTo(rig, root, { page: 0, bits: 1n });
  expect(rig.monitor.processDirtyEntries(0).map(({ root }) => root)).toEqual([ranged, plain]);
});
