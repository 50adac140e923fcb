/**
 * Every bit of every kind of entry in every paging mode, set in a real QEMU guest that then reads through it: what faults there for a
 * reserved bit is what `kindOf` takes for reserved, and nothing else is.
 */
import { describe, expect, test } from 'vitest';
import { highWord, lowWord } from '../../src/core/address/va.ts';
import {
  ENTRY_RESERVED,
  ENTRY_TABLE,
  kindOf,
  type LevelFormat,
  makePaging,
  type Paging,
  type PagingOptions,
} from '../../src/core/paging/format.ts';
import { walk } from '../../src/core/paging/walk.ts';
import { openDump } from '../../src/drivers/dump/index.ts';
import { hasQemu } from './firmware-guest.ts';
import { hasAssembler, ProbedGuest } from './probe/probed-guest.ts';

const WHAT = 'test/live/reserved-bits, every bit of every entry in a real QEMU';
const isHere = hasQemu(WHAT) && hasAssembler(WHAT);

/** One table for each level from the root down: those that map the first MiB, and those of the address that is probed. */
const IDENTITY = 0x10_0000;
const PROBED = 0x20_0000;
/** Where leaves of each size lead: aligned to their size, and in RAM. */
const LEAVES: Readonly<Record<number, bigint>> = { 1: 0x30_0000n, 512: 0x40_0000n, 1024: 0x40_0000n };
const MARK = 0x1234_5678n;

const PRESENT = 1n;
const WRITABLE = 3n;
const PS = 0x80n;
/** Under TCG. */
const PHYSICAL_BITS = 40;

const PSE = 0x10;
const PAE = 0x20;
const LA57 = 0x1000;
const NXE = 0x800;
const LME = 0x100;

interface Machine {
  readonly options: PagingOptions;
  readonly cr4: number;
  readonly efer: number;
}

const MACHINES: readonly Machine[] = [
  { options: { mode: '32-bit' }, cr4: PSE, efer: 0 },
  { options: { mode: '32-bit', pageSizeExtensions: false }, cr4: 0, efer: 0 },
  { options: { mode: 'pae' }, cr4: PAE, efer: NXE },
  { options: { mode: 'pae', noExecuteEnable: false }, cr4: PAE, efer: 0 },
  { options: { mode: '4-level' }, cr4: PAE, efer: LME | NXE },
  { options: { mode: '4-level', noExecuteEnable: false }, cr4: PAE, efer: LME },
  { options: { mode: '5-level' }, cr4: PAE | LA57, efer: LME | NXE },
];

describe.skipIf(!isHere)('reserved bits', { timeout: 120_000 }, () => {
  test.each(MACHINES)('of $options, CR4 $cr4, EFER $efer, are those that fault', async ({ options, cr4, efer }) => {
    const paging = makePaging({ ...options, physicalAddressBits: PHYSICAL_BITS });
    const { probed, va, entryPa } = await startProbed(paging, cr4, efer);
    const { entryBytes } = paging.mode;
    expect(await probed.probe(va)).toMatchObject({ outcome: 'read', value: Number(MARK) });
    const wrong: string[] = [];
    let count = 0;
    for (const format of paging.levels) {
      const bases = basesOf(paging, format, probed.entryAt(entryPa(format), entryBytes));
      for (const base of bases) {
        for (let bit = 1; bit < entryBytes * 8; bit++) {
          const value = base ^ (1n << BigInt(bit));
          const kind = kindOf(format, lowWord(value), highWord(value));
          // A table somewhere else has other entries, and the page of a large leaf is none.
          if (kind === ENTRY_TABLE && (isAddressBit(bit) || base !== bases[0])) continue;
          const before = probed.entryAt(entryPa(format), entryBytes);
          probed.putEntry(entryPa(format), value, entryBytes);
          const { outcome, isReserved } = await probed.probe(va);
          probed.putEntry(entryPa(format), before, entryBytes);
          count++;
          if (isReserved !== (kind === ENTRY_RESERVED) || (!isReserved && outcome !== 'read'))
            wrong.push(`${format.name}E 0x${value.toString(16)}, bit ${bit}: ${outcome}, reserved ${isReserved}`);
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(count).toBeGreaterThan(entryBytes * 8);
  });

  test.each(MACHINES)('of $options, CR4 $cr4: what the processor has set in memory translates', async (machine) => {
    const paging = makePaging({ ...machine.options, physicalAddressBits: PHYSICAL_BITS });
    const { probed, va } = await startProbed(paging, machine.cr4, machine.efer);
    await probed.probe(va);
    const dump = await openDump(probed.ram);
    try {
      const found = walk(paging, dump.memory, IDENTITY, va);
      expect(found).toMatchObject({ translates: true });
      // TCG sets the accessed bit at every level.
      expect(found.steps.map(({ value }) => value & 0x20n)).toEqual(paging.levels.map(() => 0x20n));
    } finally {
      await dump.close();
    }
  });
});

/** A guest whose second slot of the root leads to a table of its own at each level, in slot 0. */
async function startProbed(paging: Paging, cr4: number, efer: number) {
  const { entryBytes, canonical } = paging.mode;
  const root = paging.levels[0]!;
  const pte = paging.byLevel[1]!;
  const tableAt = (base: number, format: LevelFormat) => base + (root.level - format.level) * 0x1000;
  const entryPa = (format: LevelFormat) => (format === root ? IDENTITY + entryBytes : tableAt(PROBED, format));
  const rightsOf = (format: LevelFormat) => (format.rightsMask === 0 ? PRESENT : WRITABLE);
  const probed = await ProbedGuest.start({ cr3: IDENTITY, cr4, efer, is64: canonical }, (guest) => {
    for (const format of paging.levels.slice(0, -1)) {
      const below = paging.byLevel[format.level - 1]!;
      guest.putEntry(tableAt(IDENTITY, format), BigInt(tableAt(IDENTITY, below)) | rightsOf(format), entryBytes);
      guest.putEntry(entryPa(format), BigInt(tableAt(PROBED, below)) | rightsOf(format), entryBytes);
    }
    for (let page = 0; page < 256; page++)
      guest.putEntry(tableAt(IDENTITY, pte) + page * entryBytes, BigInt(page * 0x1000) | WRITABLE, entryBytes);
    guest.putEntry(entryPa(pte), LEAVES[1]! | WRITABLE, entryBytes);
    for (const pa of Object.values(LEAVES)) guest.putEntry(Number(pa), MARK, 4);
  });
  return { probed, va: BigInt(root.slotPages) * 0x1000n, entryPa };
}

/** The entry as it is, and as a large page where this level has them. */
function basesOf(paging: Paging, format: LevelFormat, entry: bigint): bigint[] {
  const isLarge = format.leafBit === Number(PS) && format !== paging.levels[0]!;
  const isLegacy = paging.mode.entryBytes === 4 && format.leafBit === Number(PS);
  return isLarge || isLegacy ? [entry, (LEAVES[format.slotPages] ?? 0n) | WRITABLE | PS] : [entry];
}

function isAddressBit(bit: number): boolean {
  return bit >= 12 && bit < PHYSICAL_BITS;
}
