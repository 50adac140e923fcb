import { describe, expect, test } from 'vitest';
import { notes, PWU, Rig } from '../rig.ts';

const VA = 0x7f12_3456_7000n;
const NEXT = VA + 4096n;

/** Two neighbouring pages of one page table, both watched. */
function pair() {
  const rig = new Rig({ views: 2 });
  const root = rig.frame();
  rig.build(root, VA, 0x5000n | PWU);
  rig.build(root, NEXT, 0x6000n | PWU);
  rig.monitor.monitor({ root, va: VA });
  rig.monitor.monitor({ root, va: NEXT });
  return { rig, root, pte: rig.entry(root, VA, 1), next: rig.entry(root, NEXT, 1), pde: rig.entry(root, VA, 2) };
}

describe('C4 marks are per vCPU', () => {
  test('processing one takes only its own', () => {
    const { rig, pte, next } = pair();
    rig.mark(pte, 0);
    rig.mark(next, 1);
    rig.poke(pte, 0n);
    rig.poke(next, 0n);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x7f1234567000 → 0x5000']);
    expect(rig.monitor.dump().marks).toEqual([{ vcpu: 1, entries: [next] }]);
    expect(rig.monitor.processDirtyEntries(2)).toEqual([]);
    expect(notes(rig.monitor.processDirtyEntries(1))).toEqual(['out 0x7f1234568000 → 0x6000']);
  });

  test('a mark whose write is not in memory yet waits for its own vCPU', () => {
    const { rig, root, pte, next } = pair();
    rig.mark(pte, 0);
    rig.mark(next, 1);
    rig.poke(next, 0n);
    rig.monitor.processDirtyEntries(1);
    expect(rig.monitor.state({ root, va: VA })!.pa).toBe(0x5000);
    rig.poke(pte, 0n);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x7f1234567000 → 0x5000']);
  });

  test('an address that one touches is brought to the truth that another made; the other finds nothing left', () => {
    const { rig, pte, pde } = pair();
    rig.mark(pte, 0);
    rig.mark(pde, 1);
    rig.poke(pte, 0x9000n | PWU);
    rig.poke(pde, 0n);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x7f1234567000 → 0x5000']);
    expect(notes(rig.monitor.processDirtyEntries(1))).toEqual(['out 0x7f1234568000 → 0x6000']);
  });

  test('what the touched address learnt of the other write is not said of addresses that were not touched', () => {
    const { rig, root, pte, pde } = pair();
    rig.mark(pde, 1);
    rig.poke(pde, 0n);
    rig.mark(pte, 0);
    rig.monitor.processDirtyEntries(0);
    expect(rig.monitor.state({ root, va: NEXT })!.pa).toBe(0x6000);
    expect(rig.monitor.state({ root, va: VA })!.pa).toBeNull();
    const value = 0x10_3007n;
    rig.mark(pde, 1);
    rig.poke(pde, value);
    expect(notes(rig.monitor.processDirtyEntries(1))).toEqual(['in 0x7f1234567000 → 0x5000']);
  });

  test('both write the same entry: the first that is processed says it, the second says what came after', () => {
    const { rig, pte } = pair();
    rig.mark(pte, 0);
    rig.mark(pte, 1);
    rig.poke(pte, 0x8000n | PWU);
    expect(notes(rig.monitor.processDirtyEntries(1))).toEqual([
      'out 0x7f1234567000 → 0x5000',
      'in 0x7f1234567000 → 0x8000',
    ]);
    rig.poke(pte, 0n);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x7f1234567000 → 0x8000']);
  });

  test('a slot that was written in flight before anything watched it is not missed', () => {
    const { rig, root, pde } = pair();
    const stranger = VA + 0x5000n;
    const entry = rig.slot(Number(rig.read(pde) & ~0xfffn), stranger, 1);
    expect(rig.mark(entry, 0)).toBe(false);
    rig.monitor.monitor({ root, va: stranger });
    expect(rig.monitor.state({ root, va: stranger })!.pa).toBeNull();
    rig.poke(entry, 0x7000n | PWU);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['in 0x7f123456c000 → 0x7000']);
  });

  test('a mark outlives the release of its table, for as long as the write is in flight', () => {
    const { rig, root, pte } = pair();
    rig.mark(pte, 0);
    rig.monitor.unmonitorAll();
    expect(rig.monitor.dump().marks).toEqual([]);
    rig.monitor.monitor({ root, va: VA });
    expect(rig.monitor.state({ root, va: VA })!.pa).toBe(0x5000);
    rig.poke(pte, 0n);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x7f1234567000 → 0x5000']);
    expect(rig.monitor.state({ root, va: VA })!.pa).toBeNull();
  });

  test('resync takes nobody’s marks', () => {
    const { rig, pte } = pair();
    rig.mark(pte, 0);
    expect(rig.monitor.resync()).toEqual([]);
    rig.poke(pte, 0n);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x7f1234567000 → 0x5000']);
  });
});

describe('C7 monitoring while writes are in flight', () => {
  test('the new address begins with the truth; the others say nothing until their vCPU is processed', () => {
    const { rig, root, pte } = pair();
    rig.mark(pte, 0);
    rig.poke(pte, 0x8000n | PWU);
    rig.monitor.monitor({ root, va: VA + 8n });
    expect(rig.monitor.state({ root, va: VA + 8n })!.pa).toBe(0x8008);
    expect(rig.monitor.state({ root, va: VA })!.pa).toBe(0x5000);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual([
      'out 0x7f1234567000 → 0x5000',
      'in 0x7f1234567000 → 0x8000',
    ]);
  });

  test('one more reference to an address whose write is in flight does not swallow its event', () => {
    const { rig, root, pte } = pair();
    rig.mark(pte, 0);
    rig.poke(pte, 0n);
    rig.monitor.monitor({ root, va: VA });
    rig.monitor.monitorRange({ root, va: VA, byteLength: 8192 });
    expect(rig.monitor.state({ root, va: VA })!.pa).toBe(0x5000);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x7f1234567000 → 0x5000']);
  });

  test('released and monitored again in between: it begins anew, with the truth', () => {
    const { rig, root, pte } = pair();
    rig.mark(pte, 0);
    rig.poke(pte, 0n);
    rig.monitor.unmonitor({ root, va: VA });
    rig.monitor.monitor({ root, va: VA });
    expect(rig.monitor.processDirtyEntries(0)).toEqual([]);
    expect(rig.monitor.state({ root, va: VA })!.pa).toBeNull();
  });

  test('a whole subtree is in flight: a new address in it is right, the old ones follow', () => {
    const { rig, root, pde } = pair();
    const table = rig.frame();
    rig.poke(rig.slot(table, VA, 1), 0x9000n | PWU);
    rig.mark(pde, 0);
    rig.poke(pde, BigInt(table) | PWU);
    rig.monitor.monitor({ root, va: VA + 1n, view: 1 });
    expect(rig.monitor.state({ root, va: VA + 1n, view: 1 })!.pa).toBe(0x9001);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual([
      'out 0x7f1234567000 → 0x5000',
      'in 0x7f1234567000 → 0x9000',
      'out 0x7f1234568000 → 0x6000',
    ]);
  });

  test('a root that goes in one view says nothing of the other', () => {
    const { rig, root, pte } = pair();
    rig.monitor.monitor({ root, va: VA, view: 1 });
    rig.mark(pte, 0);
    rig.poke(pte, 0n);
    rig.monitor.monitor({ root, va: VA + 8n, view: 1 });
    expect(notes(rig.monitor.rootGone(root, 1))).toEqual(['out 0x7f1234567000 → 0x5000']);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x7f1234567000 → 0x5000']);
  });
});

describe('E5 the cause of an address that moved while another call read it', () => {
  test.each(['rights of the PDE', 'rights of the PTE', 'nothing'])('then changed: %s', (then) => {
    const rig = new Rig();
    const root = rig.frame();
    const va = 0x7f12_3456_7000n;
    rig.build(root, va, 0n);
    rig.build(root, 0x1000n, 0x9000n | PWU);
    rig.monitor.monitor({ root, va });
    const [pte, pde] = [rig.entry(root, va, 1), rig.entry(root, va, 2)];
    rig.mark(pte);
    rig.poke(pte, 0x5000n | PWU);
    rig.monitor.monitor({ root, va: 0x1000n });
    const other = then === 'rights of the PDE' ? pde : pte;
    if (then !== 'nothing') {
      rig.mark(other);
      rig.poke(other, rig.read(other) & ~4n);
    }
    const [event, ...more] = rig.monitor.processDirtyEntries(0);
    expect(more).toEqual([]);
    expect(event).toMatchObject({
      kind: 'page-in',
      cause: { entryPa: pte, level: 1, oldValue: 0n, newValue: rig.read(pte) },
    });
  });
});

describe('E5 the cause names the first old and the last new value of an entry that another vCPU wrote twice', () => {
  test.each([
    ['PAE: bit 52 of a PTE', 'pae', 1, 1n << 52n],
    ['PAE: bit 62 of a PDE', 'pae', 2, 1n << 62n],
    ['AMD: bit 8 of a PML4E', '4-level', 4, 1n << 8n],
  ] as const)('also where it is back but for a reserved bit. %s', (_, mode, level, reserved) => {
    const rig = new Rig({ mode, vendor: 'amd' });
    const root = rig.frame();
    const [va, other] = mode === 'pae' ? [0x4000_0000n, 0x8000_0000n] : [VA, 0x1234_5000n];
    rig.build(root, va, 0x5000n | PWU);
    rig.build(root, other, 0x6000n | PWU);
    rig.monitor.monitor({ root, va });
    rig.monitor.monitor({ root, va: other });
    const entry = rig.entry(root, va, level);
    const pde = rig.entry(root, other, 2);
    const elsewhere = rig.frame();
    rig.build(elsewhere, va, 0x7000n | PWU);
    const [first, pdeValue] = [rig.read(entry), rig.read(pde)];
    rig.mark(entry, 1);
    rig.poke(entry, rig.read(rig.entry(elsewhere, va, level)));
    rig.write(pde, 0n, 0);
    rig.poke(entry, first | reserved);
    rig.write(pde, pdeValue, 0);

    const events = rig.monitor.processDirtyEntries(1);
    expect(notes(events)).toEqual([`out 0x${va.toString(16)} → 0x5000`]);
    expect(events[0]!.cause).toEqual({ entryPa: entry, level, oldValue: first, newValue: first | reserved });
  });
});
