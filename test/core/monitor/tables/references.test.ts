import { describe, expect, test } from 'vitest';
import { notes, PWU, Rig } from '../rig.ts';

const VA = 0x7f12_3456_7000n;

function built(options = {}) {
  const rig = new Rig(options);
  const root = rig.frame();
  rig.build(root, VA, 0x5000n | PWU);
  const at = { root, va: VA };
  return { rig, root, at, monitor: rig.monitor };
}

describe('R1 references and tags', () => {
  test('as many releases as watches; then nothing', () => {
    const { monitor, at } = built();
    for (let time = 0; time < 3; time++) monitor.monitor(at);
    for (const left of [2, 1]) {
      expect(monitor.unmonitor(at)).toBe(true);
      expect(monitor.state(at)!.references).toBe(left);
    }
    expect(monitor.unmonitor(at)).toBe(true);
    expect(monitor.state(at)).toBeUndefined();
    expect(monitor.unmonitor(at)).toBe(false);
  });

  test('every tag is kept, in the order given, each once', () => {
    const { monitor, at } = built();
    for (const tag of ['b', 'a', 3, 'b', '3']) monitor.monitor({ ...at, tag });
    monitor.monitor(at);
    expect(monitor.state(at)).toMatchObject({ tags: ['b', 'a', 3, '3'], references: 6 });
  });

  test('a release without a tag leaves the tags; one with a tag takes its last reference with it', () => {
    const { monitor, at } = built();
    for (const tag of ['a', 'b', 'b']) monitor.monitor({ ...at, tag });
    monitor.unmonitor({ ...at, tag: 'b' });
    expect(monitor.state(at)).toMatchObject({ tags: ['a', 'b'], references: 2 });
    monitor.monitor(at);
    monitor.unmonitor(at);
    expect(monitor.state(at)).toMatchObject({ tags: ['a', 'b'], references: 2 });
    monitor.unmonitor({ ...at, tag: 'b' });
    expect(monitor.state(at)).toMatchObject({ tags: ['a'], references: 1 });
  });

  test('a tag that it does not have does nothing', () => {
    const { monitor, at } = built();
    monitor.monitor({ ...at, tag: 'a' });
    expect(monitor.unmonitor({ ...at, tag: 'z' })).toBe(false);
    expect(monitor.state(at)).toMatchObject({ tags: ['a'], references: 1 });
  });

  test('by force, all at once', () => {
    const { monitor, at } = built();
    for (const tag of ['a', 'b', 'b']) monitor.monitor({ ...at, tag });
    expect(monitor.unmonitorByForce(at)).toBe(true);
    expect(monitor.state(at)).toBeUndefined();
    expect(monitor.unmonitorByForce(at)).toBe(false);
  });

  test('what is not monitored: another view, another root, another byte', () => {
    const { rig, root, at, monitor } = built({ views: 2 });
    monitor.monitor(at);
    expect(monitor.unmonitor({ ...at, view: 1 })).toBe(false);
    expect(monitor.unmonitor({ ...at, root: root + 4096 })).toBe(false);
    expect(monitor.unmonitor({ ...at, va: VA + 1n })).toBe(false);
    expect(monitor.unmonitorRange({ ...at, byteLength: 4096 })).toBe(false);
    monitor.unmonitorView(1);
    expect(rig.monitor.rootGone(root + 4096)).toEqual([]);
    expect(monitor.state(at)!.references).toBe(1);
  });

  test('the tags of an event are those of the moment', () => {
    const { rig, root, at, monitor } = built();
    monitor.monitor({ ...at, tag: 'a' });
    const pte = rig.entry(root, VA, 1);
    monitor.monitor({ ...at, tag: 'b' });
    expect(rig.write(pte, 0n)[0]!.tags).toEqual(['a', 'b']);
    monitor.unmonitor({ ...at, tag: 'a' });
    expect(rig.write(pte, 0x5000n | PWU)[0]!.tags).toEqual(['b']);
  });

  test('after the release, nothing is said', () => {
    const { rig, root, at, monitor } = built();
    monitor.monitor(at);
    const pte = rig.entry(root, VA, 1);
    monitor.unmonitor(at);
    expect(rig.mark(pte)).toBe(false);
    rig.poke(pte, 0n);
    expect(monitor.processDirtyEntries(0)).toEqual([]);
    expect(monitor.resync()).toEqual([]);
  });
});

describe('R3 nothing remains', () => {
  const ways: [string, (rig: Rig, root: number) => void][] = [
    [
      'one by one',
      ({ monitor }, root) => {
        monitor.unmonitor({ root, va: VA });
        monitor.unmonitor({ root, va: VA, view: 1 });
        monitor.unmonitor({ root, va: VA });
        monitor.unmonitorRange({ root, va: 0x1000, byteLength: 0x80_0000 });
      },
    ],
    [
      'by force, and a range in pieces',
      ({ monitor }, root) => {
        for (const view of [0, 1]) monitor.unmonitorByForce({ root, va: VA, view });
        monitor.unmonitorRange({ root, va: 0x40_0000, byteLength: 0x40_1000 });
        monitor.unmonitor({ root, va: 0x3000 });
        monitor.unmonitorRange({ root, va: 0, byteLength: 0x100_0000 });
      },
    ],
    [
      'view by view',
      ({ monitor }) => {
        monitor.unmonitorView(1);
        monitor.unmonitorView(0);
      },
    ],
    ['all at once', ({ monitor }) => monitor.unmonitorAll()],
    ['with the root', ({ monitor }, root) => void monitor.rootGone(root)],
  ];

  test.each(ways)('%s', (_, release) => {
    const { rig, root, at, monitor } = built({ views: 2 });
    const empty = monitor.dump();
    monitor.monitor({ ...at, tag: 'a' });
    monitor.monitor(at);
    monitor.monitor({ ...at, view: 1 });
    rig.build(root, 0x60_0000n, 0x7000n | PWU);
    monitor.monitorRange({ root, va: 0x1000, byteLength: 0x80_0000, tag: 'r' });
    rig.mark(rig.entry(root, VA, 1), 3);
    expect(monitor.dump()).not.toEqual(empty);
    release(rig, root);
    expect(monitor.dump()).toEqual(empty);
    expect([monitor.monitoredTables(), monitor.monitoredEntries(), monitor.pagedInEntries()]).toEqual([0, 0, 0]);
    for (let frame = 0x100; frame < 0x110; frame++) {
      expect([rig.access(frame * 4096, 0), rig.access(frame * 4096, 1)]).toEqual([7, 7]);
    }
  });

  test('a thousand times over, with writes in between', () => {
    const { rig, root, at, monitor } = built();
    const pde = rig.entry(root, VA, 2);
    const value = rig.read(pde);
    for (let time = 0; time < 1000; time++) {
      monitor.monitor(at);
      expect(notes(rig.write(pde, time % 2 === 0 ? 0n : value))).toHaveLength(1);
      monitor.unmonitor(at);
    }
    expect(monitor.dump()).toMatchObject({ addresses: [], tables: [], marks: [] });
  });
});
