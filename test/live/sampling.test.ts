/** Samples of a real QEMU whose memory, or which itself, goes away. */
import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { QmpClient } from '../../src/drivers/qemu/qmp/index.ts';
import { temporaryFolder } from '../drivers/qemu/transport/peer.ts';
import { hasQemu, startFirmware } from './firmware-guest.ts';
import { pagingFirmware } from './paging-firmware.ts';
import { ROOT } from './paging-rom.ts';
import { startPtmon } from './ptmon-process.ts';

const isHere = hasQemu('test/live/sampling, samples of a real QEMU');

/** A guest whose page tables stand, and a command that samples it. */
async function sample(...options: readonly string[]) {
  const file = join(temporaryFolder(), 'ram');
  const memory = `memory-backend-file,id=mem,size=16M,mem-path=${file},share=on`;
  const more = ['-bios', pagingFirmware(), '-object', memory, '-machine', 'memory-backend=mem'];
  const guest = await startFirmware('unix', more);
  const qmp = await QmpClient.connect(guest.qmp);
  await qmp.execute('cont');
  const firstEntry = () => qmp.humanMonitor(`xp /1xg 0x${ROOT.toString(16)}`);
  await expect.poll(firstEntry, { timeout: 20_000 }).toMatch(/0x0+110[02]7/);
  await qmp.close();
  const where = ['--root', `0x${ROOT.toString(16)}`, '--va', '0x0+1M=low', '--interval', '5'];
  const watch = startPtmon('watch', '--qmp', guest.qmp, '--mode', 'sample', ...where, ...options, '--json');
  await expect.poll(() => watch.stderr, { timeout: 20_000 }).toMatch(/Sampling every 5 ms/);
  return { file, pid: guest.process.pid!, watch };
}

describe.skipIf(!isHere)('a guest that is sampled', { timeout: 60_000 }, () => {
  test.each<[string, readonly string[], (file: string, pid: number) => void]>([
    // QEMU itself dies of that.
    ['whose RAM file is truncated', [], (file) => truncateSync(file, 0)],
    ['whose RAM file is truncated behind its tables', [], (file) => truncateSync(file, 2 ** 20)],
    ['whose QEMU is killed', [], (_, pid) => process.kill(pid, 'SIGKILL')],
    [
      "whose QEMU is killed, by way of QEMU's own memory",
      ['--memory', 'process'],
      (_, pid) => process.kill(pid, 'SIGKILL'),
    ],
  ])('%s: exit code 3, and why', async (_, options, spoil) => {
    const { file, pid, watch } = await sample(...options);
    spoil(file, pid);
    expect(await watch.ended, watch.stderr).toBe(3);
    expect(watch.stderr).toMatch(/ptmon: .*(truncated|closed the connection|broke the connection|process \d+)/);
    expect(watch.stderr).not.toMatch(/\n +at /);
    expect(watch.lastLine()).toMatchObject({ kind: 'end', ended: 'failed', failure: { code: 'source-unavailable' } });
  });

  // Its RAM file is still there, and reads as before.
  test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    'whose QEMU is told to end by %s: the watch ends',
    async (signal) => {
      const { pid, watch } = await sample();
      process.kill(pid, signal);
      expect(await watch.ended, watch.stderr).toBe(0);
      expect(watch.lastLine()).toMatchObject({ kind: 'end', ended: 'finished' });
    },
  );

  test.each(['sample', 'exact'])('%s: a guest whose paging is off is no wrong command line', async (mode) => {
    const guest = await startFirmware();
    const gdb = mode === 'exact' ? ['--gdb', guest.gdb] : [];
    const watch = startPtmon('watch', '--qmp', guest.qmp, ...gdb, '--mode', mode, '--va', '0x400000');
    expect(await watch.ended).toBe(3);
    expect(watch.stderr).toMatch(/paging is off.*Let (it|the guest) boot/);
  });
});
