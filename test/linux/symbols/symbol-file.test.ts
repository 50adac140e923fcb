/** Symbols of files: lists, and the table of an ELF file, moved to where the kernel is. */
import { describe, expect, test } from 'vitest';
import { readSymbolFile } from '../../../src/linux/symbols/symbol-file.ts';
import type { SymbolFile } from '../../../src/linux/symbols/symbol-file-source.ts';

const PLACE = { base: 0xffff_ffff_9a00_0000n, kernelStart: 1n << 63n };

const fileOf = (bytes: Buffer, byteLength = bytes.length): SymbolFile => ({
  byteLength,
  read: async (offset, length) => bytes.subarray(offset, offset + length),
});

const SYSTEM_MAP = `0000000000000000 D __per_cpu_start
ffffffff81000000 T _text
ffffffff81000040 T start_it
ffffffff82000100 D sys_call_table
`;

/** An ELF file with a table of these symbols. */
function elfOf(symbols: readonly (readonly [name: string, value: bigint, info: number])[], is64 = true): Buffer {
  let texts = '\0';
  const entries = symbols.map(([name, value, info]) => {
    const at = texts.length;
    texts += `${name}\0`;
    const entry = Buffer.alloc(is64 ? 24 : 16);
    entry.writeUInt32LE(at, 0);
    entry[is64 ? 4 : 12] = info;
    entry.writeUInt16LE(1, is64 ? 6 : 14);
    if (is64) entry.writeBigUInt64LE(value, 8);
    else entry.writeUInt32LE(Number(value), 4);
    return entry;
  });
  const table = Buffer.concat(entries);
  const strings = Buffer.from(texts, 'latin1');
  const header = Buffer.alloc(64);
  header.write('\x7fELF', 'latin1');
  header[4] = is64 ? 2 : 1;
  header[5] = 1;
  const sectionBytes = is64 ? 64 : 40;
  const sectionsAt = 64 + table.length + strings.length;
  if (is64) header.writeBigUInt64LE(BigInt(sectionsAt), 0x28);
  else header.writeUInt32LE(sectionsAt, 0x20);
  header.writeUInt16LE(sectionBytes, is64 ? 0x3a : 0x2e);
  header.writeUInt16LE(3, is64 ? 0x3c : 0x30);
  const section = (type: number, offset: number, byteLength: number, link: number) => {
    const bytes = Buffer.alloc(sectionBytes);
    bytes.writeUInt32LE(type, 4);
    if (is64) {
      bytes.writeBigUInt64LE(BigInt(offset), 24);
      bytes.writeBigUInt64LE(BigInt(byteLength), 32);
    } else {
      bytes.writeUInt32LE(offset, 16);
      bytes.writeUInt32LE(byteLength, 20);
    }
    bytes.writeUInt32LE(link, is64 ? 40 : 24);
    return bytes;
  };
  const sections = [
    section(0, 0, 0, 0),
    section(2, 64, table.length, 2),
    section(3, 64 + table.length, strings.length, 0),
  ];
  return Buffer.concat([header, table, strings, ...sections]);
}

const FUNCTION = 0x12;
const LOCAL_OBJECT = 0x01;
const FILE = 0x04;

describe('every kind of file, moved to where KASLR has put the kernel', () => {
  test.each([
    ['System.map', fileOf(Buffer.from(SYSTEM_MAP))],
    ['a file of /proc, which has no length', fileOf(Buffer.from(SYSTEM_MAP), 0)],
    [
      'vmlinux',
      fileOf(
        elfOf([
          ['arch/x86/kernel/head64.c', 0n, FILE],
          ['__per_cpu_start', 0n, LOCAL_OBJECT],
          ['_text', 0xffff_ffff_8100_0000n, FUNCTION],
          ['start_it', 0xffff_ffff_8100_0040n, FUNCTION],
          ['sys_call_table', 0xffff_ffff_8200_0100n, LOCAL_OBJECT],
        ]),
      ),
    ],
  ])('%s', async (_what, file) => {
    const table = await readSymbolFile(file, PLACE);
    expect(table.find('sys_call_table')?.address).toBe(0xffff_ffff_9b00_0100n);
    expect(table.at(0xffff_ffff_9a00_0042n)).toMatchObject({ symbol: { name: 'start_it', module: null }, offset: 2n });
    expect(table.find('__per_cpu_start')?.address).toBe(0n);
    expect(table.find('arch/x86/kernel/head64.c')).toBeUndefined();
  });

  test('a 32-bit vmlinux', async () => {
    const file = fileOf(
      elfOf(
        [
          ['_text', 0xc100_0000n, FUNCTION],
          ['schedule', 0xc110_0000n, FUNCTION],
        ],
        false,
      ),
    );
    const table = await readSymbolFile(file, { base: 0xc500_0000n, kernelStart: 0x4000_0000n });
    expect(table.at(0xc510_0007n)).toMatchObject({ symbol: { name: 'schedule' }, offset: 7n });
  });

  test('symbols of modules', async () => {
    const file = fileOf(Buffer.from(`${SYSTEM_MAP}ffffffffc0123000 t zram_slot_lock\t[zram]\n`));
    const table = await readSymbolFile(file, { ...PLACE, base: 0xffff_ffff_8100_0000n });
    expect(table.at(0xffff_ffff_c012_3001n)).toMatchObject({ symbol: { module: 'zram' }, offset: 1n });
  });
});

describe('what is wrong with a file', () => {
  test('it is of another kernel, as init_task tells', async () => {
    const file = fileOf(Buffer.from(`${SYSTEM_MAP}ffffffff82a0aa40 D init_task\n`));
    const table = await readSymbolFile(file, { ...PLACE, initTask: PLACE.base + 0x1a0_aa40n });
    expect(table.find('init_task')?.address).toBe(PLACE.base + 0x1a0_aa40n);
    await expect(readSymbolFile(file, { ...PLACE, initTask: PLACE.base + 0x1a1_0000n })).rejects.toThrow(
      'is of another kernel: it has init_task 0x1a0aa40 behind _text, and this kernel 0x1a10000',
    );
  });

  test('it is of another kernel, as its functions tell: a kernel may list no variables', async () => {
    const own = await readSymbolFile(fileOf(Buffer.from(SYSTEM_MAP)), PLACE);
    const read = (text: string) => readSymbolFile(fileOf(Buffer.from(text)), { ...PLACE, own });
    await expect(read('ffffffff81000000 T _text\nffffffff81000080 T start_it\n')).rejects.toThrow(
      'is of another kernel: it has start_it 0x80 behind _text, and this kernel 0x40',
    );
    // Wherever KASLR put it, and with what only one of them lists, or one may have twice.
    const other = 'ffffffff91000000 T _text\nffffffff91000040 T start_it\nffffffff91000044 t sys_call_table\n';
    expect((await read(`${other}ffffffff91000050 T more\n`)).find('more')?.address).toBe(PLACE.base + 0x50n);
  });

  test.each([
    ['a 32-bit kernel', 'c1000000 T _text\nc1000040 T start_it\n', /another kernel: it has _text at 0xc1000000/],
    [
      'addresses that are hidden',
      '0000000000000000 T _text\n0000000000000000 T other\n',
      /the address 0 for every symbol/,
    ],
    ['no list', 'what is this\n', /line 1 no symbol \(ADDRESS TYPE NAME\): "what is this"/],
    ['symbols of something else', 'ffffffff81000000 T main\n', /neither _text nor _stext/],
    ['nothing', '', /neither _text nor _stext/],
    ['an ELF file that ends', '\x7fELF\x02\x01', /ends after 6 bytes/],
  ])('%s', async (_what, text, expected) => {
    await expect(readSymbolFile(fileOf(Buffer.from(text, 'latin1')), PLACE)).rejects.toThrow(expected);
  });

  test('an ELF file without symbols, or with a table that it does not have', async () => {
    const stripped = elfOf([]);
    stripped.writeUInt32LE(1, 64 + 1 + 64 + 4);
    await expect(readSymbolFile(fileOf(stripped), PLACE)).rejects.toThrow(/has no symbol table/);
    const cut = elfOf([['_text', PLACE.base, FUNCTION]]);
    cut.writeBigUInt64LE(1n << 27n, cut.length - 128 + 32);
    await expect(readSymbolFile(fileOf(cut), PLACE)).rejects.toThrow(/ends before its table/);
  });
});
