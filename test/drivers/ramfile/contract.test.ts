/** The driver contract on a real file that a timer keeps writing to. */
import { openRamFile } from '../../../src/drivers/ramfile/index.ts';
import type { ContractSubject } from '../../../src/testing/index.ts';
import { describeDriverContract } from '../../contract/describe-contract.ts';
import { makeRamFile } from './ram-file-of.ts';

const TABLES = [1, 2, 3, 4, 5];

async function open(): Promise<ContractSubject> {
  const ram = makeRamFile(64 * 4096);
  for (const gfn of TABLES) {
    for (let slot = 0; slot < 512; slot++) ram.writeEntry(gfn * 4096 + slot * 8, BigInt(slot * 4096 + (slot % 3)));
  }
  let count = 0;
  const guest = setInterval(() => {
    for (const gfn of TABLES) ram.writeEntry(gfn * 4096 + (count++ % 512) * 8, BigInt(count) * 0x1_0000_1000n + 1n);
  }, 1);
  return {
    driver: await openRamFile({ path: ram.path, regions: '0+128K@0,0x40000+128K@128K', intervalMs: 1 }),
    tables: () => TABLES,
    hole: 0x3_0000,
    dispose: () => clearInterval(guest),
  };
}

describeDriverContract('ramfile', { open, deterministic: false, endless: true });
