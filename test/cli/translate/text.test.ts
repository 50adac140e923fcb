import { describe, expect, test } from 'vitest';
import { walk } from '../../../src/core/paging/walk.ts';
import { translationJson } from '../../../src/cli/commands/translate/json.ts';
import { translationLines } from '../../../src/cli/commands/translate/text.ts';
import { Machine } from '../../core/paging/machine.ts';

function text(machine: Machine, root: bigint, va: bigint): string {
  return `\n${translationLines(machine.paging, walk(machine.paging, machine.memory, root, va)).join('\n')}\n`;
}

describe('a translation, in each mode', () => {
  test('4-level, 4 KiB', () => {
    const machine = new Machine({ mode: '4-level' });
    const va = 0x7f12_3456_7abcn;
    const root = machine.chain(va, 1, 0x8800_0000_01a2_b867n, { 2: 0x01n });
    // PCID and bit 63 are not part of the root.
    expect(text(machine, root | 0x8000_0000_0000_0123n, va)).toBe(`
0x7f1234567abc: root 0x41000, 4-level paging
  PML4E 254 at 0x417f0 = 0x31027            → PDPT at 0x31000
        present, writable, user, accessed
  PDPTE 72  at 0x31240 = 0x21027            → PD at 0x21000
        present, writable, user, accessed
  PDE   418 at 0x21d10 = 0x11001            → PT at 0x11000
        present, read-only, supervisor
  PTE   359 at 0x11b38 = 0x8800000001a2b867 → 4 KiB page at 0x1a2b000
        present, writable, user, accessed, dirty, no-execute, protection key 1, ignored: bit 11
  translates to 0x1a2babc: 4 KiB page, read-only, supervisor, no-execute, protection key 1
`);
  });

  test('5-level, 1 GiB', () => {
    const machine = new Machine({ mode: '5-level' });
    const va = 0xff12_3456_789a_bcden;
    const root = machine.chain(va, 3, 0x1_4000_11e3n);
    expect(text(machine, root, va)).toBe(`
0xff123456789abcde: root 0x51000, 5-level paging
  PML5E 274 at 0x51890 = 0x41027     → PML4 at 0x41000
        present, writable, user, accessed
  PML4E 104 at 0x41340 = 0x31027     → PDPT at 0x31000
        present, writable, user, accessed
  PDPTE 345 at 0x31ac8 = 0x1400011e3 → 1 GiB page at 0x140000000
        present, writable, supervisor, accessed, dirty, large page, global, PAT
  translates to 0x1789abcde: 1 GiB page, writable, supervisor, executable
`);
  });

  test('pae, 2 MiB', () => {
    const machine = new Machine({ mode: 'pae' });
    const root = machine.chain(0xc012_3456n, 2, 0x20_00e7n | (3n << 3n));
    expect(text(machine, root, 0xc012_3456n)).toBe(`
0xc0123456: root 0x31000, pae paging
  PDPTE 3 at 0x31018 = 0x21001  → PD at 0x21000
        present
  PDE   0 at 0x21000 = 0x2000ff → 2 MiB page at 0x200000
        present, writable, user, write-through (PWT), cache disabled (PCD), accessed, dirty, large page
  translates to 0x323456: 2 MiB page, writable, user, executable
`);
  });

  test('32-bit, 4 MiB', () => {
    const machine = new Machine({ mode: '32-bit' });
    const root = machine.chain(0xc012_3456n, 2, 0x0080_2083n);
    expect(text(machine, root, 0xc012_3456n)).toBe(`
0xc0123456: root 0x21000, 32-bit paging
  PDE 768 at 0x21c00 = 0x802083 → 4 MiB page at 0x100800000
        present, writable, supervisor, large page
  translates to 0x100923456: 4 MiB page, writable, supervisor, executable
`);
  });
});

describe('an address that does not translate: why, and at which level', () => {
  const VA = 0x7f12_3456_7abcn;
  const last = (machine: Machine, root: bigint, va = VA) => text(machine, root, va).trimEnd().split('\n').slice(-2);

  test('not present, with a value of the system behind it', () => {
    const machine = new Machine({ mode: '4-level' });
    expect(last(machine, machine.chain(VA, 1, 0x1234_5600n))).toEqual([
      '        not present, the operating system uses the other bits',
      '  does not translate: the PTE (level 1) is not present',
    ]);
    expect(last(machine, machine.chain(VA, 3, 0n))).toEqual([
      '        not present',
      '  does not translate: the PDPTE (level 3) is not present',
    ]);
  });

  test.each([
    [{ mode: '4-level' }, 4, 0x2087n, 'the PML4E (level 4) has reserved bits set: bit 7'],
    [{ mode: '4-level' }, 2, 0x20_a087n, 'the PDE (level 2) has reserved bits set: bits 13 15'],
    [
      { mode: '4-level', physicalAddressBits: 40, noExecuteEnable: false },
      1,
      0x8001_0100_0000_0001n,
      'the PTE (level 1) has reserved bits set: bits 40 48 (MAXPHYADDR is 40), bit 63 (EFER.NXE is off)',
    ],
  ] as const)('reserved bits: %j, level %i, %s', (options, level, value, words) => {
    const machine = new Machine(options);
    const [flags, stop] = last(machine, machine.chain(VA, level, value));
    expect(stop).toBe(`  does not translate: ${words}`);
    expect(flags).toContain(`reserved: ${words.split('set: ')[1]}`);
  });

  test('a table outside of memory; the root outside of memory', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = machine.chain(VA, 3, 0x7_7777_7000n | 0x27n);
    expect(last(machine, root)).toEqual([
      '        present, writable, user, accessed',
      '  does not translate: the PD at 0x777777000 (level 2) lies outside RAM',
    ]);
    expect(text(machine, 0x123_4000n, VA)).toBe(`
0x7f1234567abc: root 0x1234000, 4-level paging
  does not translate: the PML4 at 0x1234000 (level 4) lies outside RAM
`);
  });

  test.each([
    ['4-level', 0x8000_0000_0000n, 'its bits 63:47 are not all the same'],
    ['5-level', 0x100_0000_0000_0000n, 'its bits 63:56 are not all the same'],
    ['pae', 0x1_0000_0000n, 'it has more than 32 bits'],
    ['32-bit', 0x1_0000_0000n, 'it has more than 32 bits'],
  ] as const)('not canonical: %s, %s', (mode, va, why) => {
    expect(last(new Machine({ mode }), 0x1000n, va)[1]).toBe(
      `  does not translate: it is not an address of ${mode} paging: ${why}`,
    );
  });
});

describe('as JSON (docs/formats/translate.md)', () => {
  test('a translation', () => {
    const machine = new Machine({ mode: '32-bit' });
    const root = machine.chain(0xc012_3456n, 1, 0x5067n);
    const line = translationJson(machine.paging, walk(machine.paging, machine.memory, root, 0xc012_3456n));
    expect(line.endsWith('\n')).toBe(true);
    expect(JSON.parse(line)).toEqual({
      v: 1,
      kind: 'translation',
      mode: '32-bit',
      root: '0x21000',
      va: '0xc0123456',
      translates: true,
      pa: '0x5456',
      pageSize: 4096,
      rights: { writable: true, user: true, noExecute: false, protectionKey: 0 },
      steps: [
        {
          entry: 'PDE',
          level: 2,
          slot: 768,
          entryPa: '0x21c00',
          value: '0x11027',
          flags: ['present', 'writable', 'user', 'accessed'],
          reservedBits: [],
          ignoredBits: [],
          target: { table: 'PT', pa: '0x11000' },
        },
        {
          entry: 'PTE',
          level: 1,
          slot: 291,
          entryPa: '0x1148c',
          value: '0x5067',
          flags: ['present', 'writable', 'user', 'accessed', 'dirty'],
          reservedBits: [],
          ignoredBits: [],
          target: { page: 4096, pa: '0x5000' },
        },
      ],
    });
  });

  test('none', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = machine.chain(0x1000n, 4, 0x87n);
    const found = JSON.parse(translationJson(machine.paging, walk(machine.paging, machine.memory, root, 0x1000n)));
    expect(found).toMatchObject({ translates: false, reason: 'reserved-bit', level: 4 });
    expect(found.steps).toMatchObject([{ reservedBits: [7], target: null }]);
    expect(found).not.toHaveProperty('pa');
  });
});
