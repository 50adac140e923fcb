/** A ROM that changes one entry for ever, and counts that: what a watch reports can be compared with it. */
import { CODE_16, COUNT, FLIPPED, littleEndian, ROM, ROOT, romOf } from './paging-rom.ts';

const PAGE_TABLE = ROOT + 3 * 0x1000;
const ENTRY = PAGE_TABLE + (FLIPPED >> 12) * 8;
/** Where it maps the page table once more, later. */
const LATE_ALIAS = 0x1a_0000;
/** It does so when this byte is not 0. */
export const IS_LATE = 0x510;
/** 2 MiB with the local APIC. */
const APIC = 0x60_0000;
/** Where a second vCPU begins: the vector of its startup interrupt is the number of this page. */
const STARTUP = 0xf000;

export interface FlippingOptions {
  /** What each change flips in the entry: its present bit and its frame, or the frame alone. */
  readonly flips: number;
  readonly hasSecondVcpu?: boolean;
  /** When told to (`IS_LATE`) it maps the table at another address, and writes through that from then on. */
  readonly hasLateAlias?: boolean;
}

/** Each change is one instruction; the next one counts it, at `COUNT` for the first vCPU and behind that for the second. */
export function flippingRom({ flips, hasSecondVcpu = false, hasLateAlias = false }: FlippingOptions): Buffer {
  const change = (va: number, vcpu: number) => [
    ...[0xf0, 0x48, 0x81, 0x34, 0x25, ...littleEndian(va), ...littleEndian(flips)], // lock xor qword [va], flips
    ...[0x48, 0xff, 0x04, 0x25, ...littleEndian(COUNT + 8 * vcpu)], //                   inc qword [COUNT]
  ];
  const forEver = (body: readonly number[]) => [...body, 0xeb, 0xfe - body.length];
  const first = change(ENTRY, 0);
  const late = [
    ...[...first, 0x80, 0x3c, 0x25, ...littleEndian(IS_LATE), 0, 0x74, 0xf6 - first.length], // the change; cmp byte [IS_LATE], 0; je to it
    // mov qword [the alias's entry], the table
    ...[0x48, 0xc7, 0x04, 0x25, ...littleEndian(PAGE_TABLE + (LATE_ALIAS >> 12) * 8), ...littleEndian(PAGE_TABLE + 3)],
    ...forEver(change(LATE_ALIAS + (FLIPPED >> 12) * 8, 0)),
  ];
  const loop = hasLateAlias ? late : forEver(first);
  const code = hasSecondVcpu ? withSecondVcpu(loop, forEver(change(ENTRY, 1))) : loop;
  const rom = romOf(code, [
    [2, 3, 0xfee0_009bn],
    [3, FLIPPED >> 12, BigInt(FLIPPED | 3)],
  ]);
  // jmp 0xf000:CODE_16
  rom.set([0xea, CODE_16 & 0xff, CODE_16 >> 8, 0x00, 0xf0], STARTUP);
  return rom;
}

/** Code for both: the first vCPU, whose APIC ID is 0, starts the other. SDM vol. 3A, 9.4.4. */
function withSecondVcpu(first: readonly number[], second: readonly number[]): number[] {
  const send = (command: number) => [0xc7, 0x04, 0x25, ...littleEndian(APIC + 0x300), ...littleEndian(command)];
  // mov ecx, 2000000; loop to itself
  const delay = [0xb9, ...littleEndian(2_000_000), 0xe2, 0xfe];
  const start = [...send(0xc_4500), ...delay, ...send(0xc_4600 + ((ROM + STARTUP) >> 12)), ...delay, ...first];
  // mov eax, [APIC ID]; test eax, eax; jnz to the second
  return [0x8b, 0x04, 0x25, ...littleEndian(APIC + 0x20), 0x85, 0xc0, 0x75, start.length, ...start, ...second];
}
