/** The page tables of real firmware and of a program without a system: a search through their memory finds the root that is in CR3. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { readPrintedRegisters } from '../../../src/drivers/qemu/qmp/info-registers.ts';
import { QmpClient } from '../../../src/drivers/qemu/qmp/index.ts';
import { run } from '../../cli/run.ts';
import { temporaryFolder } from '../../drivers/qemu/transport/peer.ts';
import { hasQemu, startFirmware } from '../firmware-guest.ts';

const OVMF = '/usr/share/OVMF/OVMF_CODE.fd';
const MEMTEST = '/boot/memtest86+x64.bin';
const PROGRAMS: readonly (readonly [file: string, aptPackage: string, options: readonly string[]])[] = [
  [OVMF, 'ovmf', ['-drive', `if=pflash,format=raw,readonly=on,file=${OVMF}`]],
  [MEMTEST, 'memtest86+', ['-kernel', MEMTEST]],
];

const isHere = hasQemu('test/live/dumps/firmware-roots, the page tables of real firmware');

describe.skipIf(!isHere)('roots of firmware', { timeout: 180_000 }, () => {
  test.for(PROGRAMS)('%s', async ([file, aptPackage, options], { skip }) => {
    skip(!existsSync(file), `${file} is missing; on Debian: apt-get install ${aptPackage}`);
    const ram = join(temporaryFolder(), 'ram');
    const memory = `memory-backend-file,id=mem,size=256M,mem-path=${ram},share=on`;
    const guest = await startFirmware('unix', [
      ...['-m', '256M', '-object', memory, '-machine', 'memory-backend=mem'],
      ...options,
    ]);
    const qmp = await QmpClient.connect(guest.qmp);
    let root = 0n;
    try {
      // The last tables are loaded some seconds after the first: what is there when nothing has changed for a while is meant.
      await qmp.execute('cont');
      for (let same = 0; same < 20; ) {
        await sleep(500);
        const { cr0, cr3 } = await readPrintedRegisters(qmp, 0);
        const now = (cr0 & (1n << 31n)) === 0n ? 0n : cr3;
        same = now === root && now !== 0n ? same + 1 : 0;
        root = now;
      }
      await qmp.execute('stop');
    } finally {
      await qmp.close();
    }
    const { code, stdout } = await run(['roots', ram]);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^0x${root.toString(16)} +4-level +likely +identity`, 'm'));
  });
});
