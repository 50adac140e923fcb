/** Which blocks of a migration stream are the RAM of the machine, and where it lies: the stream has names and lengths only. */
import { pcRegions, type RamRegion } from '../../ramfile/index.ts';
import type { RamBlock } from './ram-stream.ts';

const GIB = 2 ** 30;

/** Blocks of devices and firmware: "/rom@etc/acpi/tables", "0000:00:02.0/vga.vram", "pc.bios", "system.flash0". */
const OF_DEVICES = /^\/?rom@|^[0-9a-f]{4}:|\/|vram|bios|\.rom$|flash|nvdimm|pmem|shmem/i;
const MAIN = /^(pc\.ram|mem|microvm\.ram|q35\.ram)$/;

export interface PlacedBlock {
  readonly block: RamBlock;
  readonly pieces: readonly RamRegion[];
}

/**
 * The block that is the machine's RAM, or several of NUMA nodes in the order of their names, from address 0 on with the hole of the
 * machine below 4 GiB.
 */
export function placeBlocks(blocks: readonly RamBlock[], machine: string): PlacedBlock[] {
  const present = blocks.filter(({ isPresent }) => isPresent);
  const main = present.filter(({ id }) => MAIN.test(id));
  const nodes = main.length > 0 ? main : present.filter(({ id }) => !OF_DEVICES.test(id.replace(/^\/objects\//, '')));
  const ordered = [...nodes].sort((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true }));
  const total = ordered.reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (total === 0) return [];
  const regions = pcRegions(total, lowBytes(machine, total));
  let start = 0;
  return ordered.map((block) => {
    const pieces = regions.flatMap(({ pa, byteLength, position }) => {
      const [from, to] = [Math.max(position, start), Math.min(position + byteLength, start + block.byteLength)];
      return to > from ? [{ pa: pa + (from - position), byteLength: to - from, position: from - start }] : [];
    });
    start += block.byteLength;
    return { block, pieces };
  });
}

/** RAM below 4 GiB of QEMU's machines, unless max-ram-below-4g says otherwise (hw/i386/pc_piix.c, pc_q35.c, microvm.c). */
function lowBytes(machine: string, total: number): number {
  if (machine.includes('q35')) return total >= 2.75 * GIB ? 2 * GIB : 2.75 * GIB;
  return total >= 3.5 * GIB || machine.includes('microvm') ? 3 * GIB : 3.5 * GIB;
}
