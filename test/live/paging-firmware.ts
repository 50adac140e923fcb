/** Files of firmware, for QEMU's `-bios`. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../drivers/qemu/transport/peer.ts';
import { type FlippingOptions, flippingRom } from './flipping-rom.ts';
import { countingRom, pagingRom, raceRom, readOnlyTablesRom } from './paging-rom.ts';

export function pagingFirmware(): string {
  return fileOf(pagingRom());
}

export function readOnlyTablesFirmware(): string {
  return fileOf(readOnlyTablesRom());
}

/** @param bits as `countingRom` takes them */
export function countingFirmware(bits?: number): string {
  return fileOf(countingRom(bits));
}

export function raceFirmware(code: Uint8Array): string {
  return fileOf(raceRom(code));
}

export function flippingFirmware(options: FlippingOptions): string {
  return fileOf(flippingRom(options));
}

function fileOf(rom: Buffer): string {
  const file = join(temporaryFolder(), 'firmware');
  writeFileSync(file, rom);
  return file;
}
