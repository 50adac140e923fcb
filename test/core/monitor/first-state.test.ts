import { describe, expect, test } from 'vitest';
import { notes, PS, PWU, Rig } from './rig.ts';

const VA = 0x7f12_3456_7000n;

/** An address that is mapped before anything watches it. */
function mapped() {
  const rig = new Rig({ kinds: ['protection', 'restructure', 'root-gone'] });
  const root = rig.frame();
  rig.build(root, VA, 0x5000n | PWU);
  return { rig, root };
}

describe('E8 a watch of an address that is already backed yields no event', () => {
  test('its state is there at once, and after each change', () => {
    const { rig, root } = mapped();
    rig.monitor.monitor({ root, va: VA });
    expect(rig.monitor.processDirtyEntries(0)).toEqual([]);
    expect(rig.monitor.resync()).toEqual([]);
    expect(rig.monitor.state({ root, va: VA })).toMatchObject({ pa: 0x5000, pageSize: 4096 });
    rig.write(rig.entry(root, VA, 1), 0n);
    expect(rig.monitor.state({ root, va: VA })).toMatchObject({ pa: null, pageSize: null });
  });

  test('the same for a range, page by page and in runs', () => {
    for (const runs of [false, true]) {
      const { rig, root } = mapped();
      rig.monitor.monitorRange({ root, va: VA - 0x1000n, byteLength: 0x3000, runs });
      expect(rig.monitor.processDirtyEntries(0)).toEqual([]);
      expect(rig.monitor.resync()).toEqual([]);
      expect(rig.monitor.state({ root, va: VA })).toMatchObject({ pa: 0x5000 });
      expect(rig.monitor.state({ root, va: VA + 0x1000n })).toMatchObject({ pa: null });
    }
  });

  test('the first event is the difference from the state at the beginning', () => {
    const { rig, root } = mapped();
    rig.monitor.monitor({ root, va: VA });
    expect(notes(rig.write(rig.entry(root, VA, 2), 0x20_0000n | PWU | PS))).toEqual([
      'out 0x7f1234567000 → 0x5000',
      expect.stringMatching(/^in 0x7f1234567000/),
    ]);
  });
});
