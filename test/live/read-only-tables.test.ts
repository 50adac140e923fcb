/** A guest that maps its page tables read-only and writes to them with CR0.WP clear, as OVMF does: exact watching works all the same. */
import { describe, expect, test } from 'vitest';
import { QmpClient } from '../../src/drivers/qemu/qmp/client.ts';
import { hasQemu, startFirmware } from './firmware-guest.ts';
import { readOnlyTablesFirmware } from './paging-firmware.ts';
import { FLIPPED, ROOT } from './paging-rom.ts';
import { startPtmon } from './ptmon-process.ts';

const COUNT = 40;
const isHere = hasQemu('test/live/read-only-tables, page tables that are mapped read-only');

describe.skipIf(!isHere)('page tables that are mapped read-only', { timeout: 60_000 }, () => {
  test('each flip of an entry is reported', async () => {
    const guest = await startFirmware('unix', ['-bios', readOnlyTablesFirmware()]);
    const qmp = await QmpClient.connect(guest.qmp);
    await qmp.execute('cont');
    const firstEntry = () => qmp.humanMonitor(`xp /1xg 0x${ROOT.toString(16)}`);
    await expect.poll(firstEntry, { timeout: 20_000 }).toMatch(/0x0+110[02]7/);
    await qmp.close();
    const va = `0x${FLIPPED.toString(16)}`;
    const where = ['--qmp', guest.qmp, '--gdb', guest.gdb, '--root', `0x${ROOT.toString(16)}`, '--va', va];
    const watch = startPtmon('watch', ...where, '--count', String(COUNT), '--json');
    expect(await watch.ended, watch.stderr).toBe(0);
    const lines = watch.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { kind: string });
    const kinds = lines.map(({ kind }) => kind).filter((kind) => kind.startsWith('page-'));
    expect(kinds).toHaveLength(COUNT);
    for (const [at, kind] of kinds.entries()) expect(kind).not.toBe(kinds[at - 1]);
    expect(watch.lastLine()).toMatchObject({ lost: { known: 0, unknown: false }, foundByResync: 0 });
  });
});
