/** ROMs of firmware that switches on 4-level paging and repeats one instruction for ever: page tables of which every entry is known, without a kernel. */

/** Where the firmware copies its tables to: one page for each level, the PML4 first. */
export const ROOT = 0x1_0000;

/** The eight bytes to which it adds one for ever. */
export const COUNT = 0x500;

/** Where a reset begins, seen from the ROM's 64 KiB below 1 MiB. */
const RESET = 0xfff0;
export const CODE_16 = 0xff00;
const CODE_64 = 0xff80;
const GDT = 0xfe00;
const GDT_POINTER = 0xfe20;
export const ROM = 0xf_0000;
/** Where the code of `raceRom` is. */
export const RACE_CODE = 0xf_8000;

/** By table (0 is the PML4) and slot; the first 1 MiB is mapped where it is, for the supervisor. */
const ENTRIES: readonly (readonly [table: number, slot: number, value: bigint])[] = [
  [0, 0, 0x1_1007n],
  // Reserved: bit 7 of a PML4E.
  [0, 5, 0x1_1087n],
  // The tables themselves, as a self-map.
  [0, 511, 0x1_0003n],
  [1, 0, 0x1_2007n],
  // 1 GiB, whose address has a reserved bit.
  [1, 1, 0x4000_2083n],
  // A table where there is no memory.
  [1, 2, 0x7fff_f007n],
  [2, 0, 0x1_3007n],
  // 2 MiB at 4 MiB, with PAT, accessed and dirty, not to be executed.
  [2, 1, 0x8000_0000_0040_10e7n],
  [3, 0x150, 0x1234_5600n],
  // Read-only, for the user, not to be executed.
  [3, 0x152, 0x8000_0000_0005_2025n],
  // Bit 45 is above any MAXPHYADDR that QEMU gives its own processors under TCG.
  [3, 0x153, 0x2000_0005_3007n],
];

/** Virtual addresses that lead everywhere in those tables. */
export const ADDRESSES: readonly bigint[] = [
  0x0n,
  0x500n,
  0x1_0abcn,
  0xf_fff0n,
  0x10_0000n,
  0x15_0000n,
  0x15_2123n,
  0x15_3000n,
  0x20_0000n,
  0x2f_ffffn,
  0x40_0000n,
  0x4000_0000n,
  0x8000_0000n,
  0xc000_0000n,
  0x280_0000_0000n,
  0x800_0000_0000n,
  0xffff_ffff_ffff_f000n,
  0xffff_ff80_0000_0008n,
];

/** The page that a firmware with read-only tables maps and unmaps for ever. */
export const FLIPPED = 0x15_4000;

/** It counts. */
export function pagingRom(): Buffer {
  // inc qword [COUNT]; jmp to it
  return romOf([0x48, 0xff, 0x04, 0x25, ...littleEndian(COUNT), 0xeb, 0xf6]);
}

/** As OVMF has them: the tables are mapped, by themselves and where they are, read-only, and CR0.WP is clear. It flips an entry for ever. */
export function readOnlyTablesRom(): Buffer {
  const entry = ROOT + 3 * 0x1000 + (FLIPPED >> 12) * 8;
  // xor qword [entry], FLIPPED | 3; jmp to it
  const loop = [0x48, 0x81, 0x34, 0x25, ...littleEndian(entry), ...littleEndian(FLIPPED | 3), 0xeb, 0xf2];
  return romOf(loop, [
    [0, 511, 0x1_0001n],
    ...[0, 1, 2, 3].map((table) => [3, (ROOT >> 12) + table, BigInt(ROOT + table * 0x1000) | 1n] as const),
  ]);
}

/** What `countingRom` counts: an eight-byte number for each of its four tables, before it writes to it and after. */
export const BEGUN = 0x600;
export const DONE = 0x640;

/**
 * It writes to one of its four tables after the other, at random, again and again, and counts.
 *
 * @param bits of the number of rounds that it waits at most before each
 */
export function countingRom(bits = 18): Buffer {
  return romOf(
    [
      [0x48, 0xb9, 0x2d, 0x7f, 0x95, 0x4c, 0x2d, 0xf4, 0x51, 0x58], // movabs rcx, 6364136223846793005
      [0x48, 0xba, 0x4f, 0x81, 0x67, 0xf7, 0x7e, 0x7b, 0x05, 0x14], // movabs rdx, 1442695040888963407
      [0x48, 0x0f, 0xaf, 0xd9, 0x48, 0x01, 0xd3], // imul rbx, rcx; add rbx, rdx
      [0x48, 0x89, 0xd8, 0x48, 0xc1, 0xe8, 0x21, 0x83, 0xe0, 0x03], // rax = rbx >> 33 & 3
      [0x48, 0xff, 0x04, 0xc5, ...littleEndian(BEGUN)], // inc qword [BEGUN + rax * 8]
      [0x48, 0x89, 0xc6, 0x48, 0xc1, 0xe6, 0x0c], // rsi = rax << 12
      [0x48, 0x89, 0xdf, 0x48, 0xc1, 0xe7, 0x0c], // rdi = rbx << 12: an entry that is not present
      [0x48, 0x89, 0xbe, ...littleEndian(ROOT + 300 * 8)], // mov [ROOT + 300 * 8 + rsi], rdi
      [0x48, 0xff, 0x04, 0xc5, ...littleEndian(DONE)], // inc qword [DONE + rax * 8]
      [0x48, 0x89, 0xd8, 0x48, 0xc1, 0xe8, 64 - bits], // rax = rbx >> (64 - bits)
      [0xff, 0xc8, 0x7f, 0xfc], // wait so many rounds: dec eax; jg
      [0xeb, 0xbd], // and again, from imul on
    ].flat(),
  );
}

/**
 * Two vCPUs that write page-table entries as fast as they can, and wait for the test to say which and how often (`race.S`).
 *
 * @param code assembled for `RACE_CODE`
 */
export function raceRom(code: Uint8Array): Buffer {
  // mov eax, RACE_CODE; jmp rax
  const rom = romOf([0xb8, ...littleEndian(RACE_CODE), 0xff, 0xe0], [[1, 3, 0xc000_0083n]]);
  rom.set(code, RACE_CODE - ROM);
  // jmp 0xf000:CODE_16, where another vCPU begins that is started with vector 0xff.
  rom.set([0xea, CODE_16 & 0xff, CODE_16 >> 8, 0x00, 0xf0], 0xf000);
  return rom;
}

export function littleEndian(value: number): number[] {
  return [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
}

export function romOf(loop: readonly number[], others: typeof ENTRIES = []): Buffer {
  const rom = Buffer.alloc(0x1_0000);
  for (let page = 0; page < 256; page++) putEntry(rom, 3, page, BigInt(page) * 0x1000n + 3n);
  for (const [table, slot, value] of [...ENTRIES, ...others]) putEntry(rom, table, slot, value);
  // A null descriptor and 64-bit code: SDM vol. 3A, 3.4.5.
  rom.writeBigUInt64LE(0x0020_9a00_0000_0000n, GDT + 8);
  rom.writeUInt16LE(15, GDT_POINTER);
  rom.writeUInt32LE(ROM + GDT, GDT_POINTER + 2);

  const code16 = [
    [0xb8, 0x00, 0xf0, 0x8e, 0xd8], // mov ax, 0xf000; mov ds, ax
    [0xb8, 0x00, 0x10, 0x8e, 0xc0], // mov ax, 0x1000; mov es, ax
    [0x31, 0xf6, 0x31, 0xff], // xor si, si; xor di, di
    [0xb9, 0x00, 0x20, 0xfc, 0xf3, 0xa5], // mov cx, 0x2000; cld; rep movsw
    [0x66, 0xb8, 0x20, 0x00, 0x00, 0x00, 0x0f, 0x22, 0xe0], // mov eax, PAE; mov cr4, eax
    [0x66, 0xb8, 0x00, 0x00, 0x01, 0x00, 0x0f, 0x22, 0xd8], // mov eax, ROOT; mov cr3, eax
    [0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0], // mov ecx, EFER
    [0x66, 0xb8, 0x00, 0x09, 0x00, 0x00], // mov eax, LME | NXE
    [0x66, 0x31, 0xd2, 0x0f, 0x30], // xor edx, edx; wrmsr
    [0x66, 0x0f, 0x01, 0x16, GDT_POINTER & 0xff, GDT_POINTER >> 8], // lgdt [GDT_POINTER]
    [0x66, 0xb8, 0x01, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0], // mov eax, PG | PE; mov cr0, eax
    [0x66, 0xea, CODE_64 & 0xff, CODE_64 >> 8, 0x0f, 0x00, 0x08, 0x00], // jmp 8:ROM + CODE_64
  ].flat();
  rom.set(code16, CODE_16);
  rom.set(loop, CODE_64);
  // jmp 0xf000:CODE_16
  rom.set([0xea, CODE_16 & 0xff, CODE_16 >> 8, 0x00, 0xf0], RESET);

  return rom;
}

function putEntry(rom: Buffer, table: number, slot: number, value: bigint): void {
  rom.writeBigUInt64LE(value, table * 0x1000 + slot * 8);
}
