/** What a watch reports of an entry, beside a guest that counts how often it has changed it: no loss is denied. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { openQemu } from '../../src/drivers/qemu/exact/index.ts';
import { QmpClient } from '../../src/drivers/qemu/qmp/client.ts';
import { openSession } from '../../src/session/session.ts';
import { hasQemu, startFirmware } from './firmware-guest.ts';
import { type FlippingOptions, IS_LATE } from './flipping-rom.ts';
import { flippingFirmware } from './paging-firmware.ts';
import { COUNT, FLIPPED, ROOT } from './paging-rom.ts';

const PRESENCE = FLIPPED | 3;
const FRAME = 0x4000;
/** Shorter than the time from one search for aliases to the next: the last one, when the watch ends, has to find a new one. */
const WATCH_MS = 700;
/** Stops before a guest maps its table once more. */
const EARLY_BATCHES = 20;
const SEVERAL = /several vCPUs/;
const ALIAS = /one more address/;

type Row = readonly [name: string, options: FlippingOptions, more: readonly string[], reason: RegExp | undefined];

const ROWS: readonly Row[] = [
  ['one vCPU', { flips: PRESENCE }, [], undefined],
  ['one vCPU, alternating frames', { flips: FRAME }, [], undefined],
  ['one vCPU, a second alias made later', { flips: PRESENCE, hasLateAlias: true }, [], ALIAS],
  ['two vCPUs, the same entry', { flips: PRESENCE, hasSecondVcpu: true }, ['-smp', '2'], SEVERAL],
  ['two vCPUs, alternating frames', { flips: FRAME, hasSecondVcpu: true }, ['-smp', '2'], SEVERAL],
  [
    'two vCPUs, thread=single',
    { flips: PRESENCE, hasSecondVcpu: true },
    ['-smp', '2', '-accel', 'tcg,thread=single'],
    SEVERAL,
  ],
];

describe.skipIf(!hasQemu('test/live/counting-guest, a guest that counts its changes'))(
  'a guest that counts how often it changes an entry',
  { timeout: 60_000 },
  () => {
    test.each(ROWS)('%s', async (name, options, more, reason) => {
      const { qmp: address, gdb } = await startFirmware('unix', [...more, '-bios', flippingFirmware(options)]);
      const qmp = await QmpClient.connect(address);
      await qmp.execute('cont');
      const isPaging = async () => (await qmp.humanMonitor('info registers')).includes(`CR3=${'0'.repeat(11)}10000`);
      await expect.poll(isPaging, { timeout: 20_000 }).toBe(true);
      await qmp.close();

      const driver = await openQemu({ qmp: address, gdb });
      onTestFinished(() => driver.close());
      const changes = () =>
        [0, 8].reduce((sum, offset) => {
          const words = new Uint32Array(2);
          driver.memory.readEntry(COUNT + offset, 8, words);
          return sum + words[0]!;
        }, 0);
      const before = changes();
      let after = before;
      let [reported, batches] = [0, 0];
      const session = await openSession({
        driver,
        signal: AbortSignal.timeout(WATCH_MS),
        onBatch: async () => {
          after = changes();
          if (++batches === EARLY_BATCHES) await driver.writePhysical(IS_LATE, Uint8Array.of(1));
        },
      });
      await session.watch({ root: ROOT, va: BigInt(FLIPPED) });
      // Another frame is a page-out and a page-in.
      for await (const { kind } of session) if (kind === 'page-in' || options.flips === PRESENCE) reported++;

      const { lost } = session.statistics();
      console.log(`| ${name} | ${after - before} | ${reported} | ${lost.unknown ? 'null' : lost.known} |`);
      expect(reported).toBeGreaterThan(EARLY_BATCHES - 5);
      // A change is counted by the instruction behind it, which each vCPU may not have come to.
      if (!lost.unknown) expect(Math.abs(after - before + lost.known - reported)).toBeLessThanOrEqual(1);
      expect(lost.unknown).toBe(reason !== undefined);
      if (reason !== undefined) expect(lost.reasons?.join('; ')).toMatch(reason);
    });
  },
);
