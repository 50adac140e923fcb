/**
 * Page tables that the guest maps nowhere to write to. A 32-bit Linux with CONFIG_HIGHPTE has those of processes in memory beyond what
 * it maps for good (high memory), and maps each for as long as it writes to it: there is no lasting address for a watchpoint.
 */
import { gfnOf, PAGE_BYTES } from '../../../../core/address/pa.ts';
import { hex, vaOf } from '../../../../core/address/va.ts';
import type { PhysicalMemory } from '../../../../core/memory/physical-memory.ts';
import type { Paging } from '../../../../core/paging/format.ts';
import { walk } from '../../../../core/paging/walk.ts';
import type { WritableAliases } from './writable-aliases.ts';

/**
 * The physical address of the first of them in an address space; undefined where there is none. With 64-bit addresses systems
 * map all memory, so nothing is read.
 *
 * @throws PtmonError `not-fetched`, or what the memory throws
 */
export function unmappedTable(
  paging: Paging,
  memory: PhysicalMemory,
  root: number,
  aliases: WritableAliases,
): number | undefined {
  if (paging.mode.canonical) return undefined;
  const { slotPages } = paging.byLevel[2]!;
  for (let vpn = 0; vpn < 2 ** 20; vpn += slotPages) {
    for (const { entryPa } of walk(paging, memory, root, vaOf(vpn, 0)).steps) {
      if (aliases.find(gfnOf(entryPa)).length === 0) return gfnOf(entryPa) * PAGE_BYTES;
    }
  }
  return undefined;
}

/** Why a table has no watchpoint, for a sentence. */
export function unmappedWords(table: number): string {
  return `the guest maps the page table at ${hex(table)} only while it writes to it (high memory, CONFIG_HIGHPTE)`;
}
