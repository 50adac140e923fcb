/**
 * The areas of a 32-bit kernel's GiB (arch/x86/include/asm/pgtable_32_areas.h): their bounds depend on how much memory there is, and
 * follow from two of the kernel's variables.
 */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import { mappedRanges } from '../../core/paging/enumerate.ts';
import { walk } from '../../core/paging/walk.ts';
import { attempt } from '../memory/guest-fault.ts';
import type { KernelMemory } from '../memory/kernel-memory.ts';
import type { AreaSource, KernelArea } from './area-source.ts';

/** VMALLOC_OFFSET: a hole behind the direct map. */
const HOLE = 8n << 20n;
const END = 1n << 32n;

/** @throws PtmonError `not-fetched` */
export function areas32({ kernel, symbols }: AreaSource): KernelArea[] {
  const { memory, base } = kernel;
  const valueOf = (name: string) => {
    const symbol = symbols?.find(name);
    return symbol && attempt(() => memory.pointer(symbol.address));
  };
  // PAGE_OFFSET is 0xc0000000, or with another split of the space a multiple of a GiB, too (CONFIG_VMSPLIT_*).
  const start = base & 0xc000_0000n;
  // Debian's 32-bit kernels have no symbols of variables (CONFIG_KALLSYMS_ALL).
  const highMemory = valueOf('high_memory') ?? directMapEnd(memory, start);
  const tables = valueOf('pkmap_page_table');
  const pkmap = tables === undefined ? undefined : attempt(() => mappedBy(memory, tables, highMemory));
  const areas = [
    { name: 'direct map', start, end: highMemory },
    { name: pkmap === undefined ? 'vmalloc, fixmap' : 'vmalloc', start: highMemory + HOLE, end: pkmap?.start ?? END },
  ];
  if (pkmap === undefined) return areas;
  return [
    ...areas,
    { name: 'pkmap', ...pkmap },
    // One behind the other; how large each is depends on the build.
    { name: 'cpu entry area, fixmap', start: pkmap.end, end: END },
  ];
}

/** Where addresses cease to be those of physical memory from 0 on. @throws PtmonError `not-fetched` */
function directMapEnd({ paging, physical, root }: KernelMemory, start: bigint): bigint {
  let end = start;
  for (const { va, byteLength, pa } of mappedRanges(paging, physical, root, { from: start, to: END })) {
    if (BigInt(pa) !== va - start) break;
    end = va + BigInt(byteLength);
  }
  return end;
}

/** What the page table at `table` maps, looked for from `from` on. @throws GuestFault; PtmonError `not-fetched` */
function mappedBy(memory: KernelMemory, table: bigint, from: bigint): { start: bigint; end: bigint } | undefined {
  const pa = memory.pa(table);
  const { paging, physical, root } = memory;
  const span = BigInt(paging.byLevel[2]!.slotPages * PAGE_BYTES);
  for (let start = from & ~(span - 1n); start < END; start += span) {
    const last = walk(paging, physical, root, start).steps.at(-1);
    if (last?.level === 1 && last.entryPa - last.slot * paging.mode.entryBytes === pa)
      return { start, end: start + span };
  }
  return undefined;
}
