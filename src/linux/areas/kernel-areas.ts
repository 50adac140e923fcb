/**
 * What a kernel's half of the address space is for (kernel documentation, arch/x86/x86_64/mm; arch/x86/include/asm/pgtable_64_types.h,
 * pgtable_32_areas.h). Where KASLR moves an area, the kernel keeps its address in a variable; the others are where the documentation
 * has them.
 */
import { attempt } from '../memory/guest-fault.ts';
import type { KernelModule } from '../symbols/modules.ts';
import type { SymbolTable } from '../symbols/symbol-table.ts';
import type { AreaSource, KernelArea } from './area-source.ts';
import { imageAreas } from './image-areas.ts';
import { areas32 } from './areas-32.ts';
import { partitionPoint } from '../../core/struct/partition-point.ts';

const TIB = 1n << 40n;
const GIB = 1n << 30n;
const PAGE = 4096n;
const VA_END = 1n << 64n;
/** The kernel's image: 512 MiB, or 1 GiB with KASLR (KERNEL_IMAGE_SIZE); modules follow. */
const IMAGE_FROM = 0xffff_ffff_8000_0000n;
const MODULES_TO = 0xffff_ffff_ff00_0000n;
const VSYSCALL = 0xffff_ffff_ff60_0000n;
/** FIXADDR_TOP is below the page of old system calls; the fixed mappings have no more than 2 MiB below it. */
const FIXMAP_FROM = 0xffff_ffff_ff00_0000n;

/** Where areas begin that KASLR moves, and how large they are at most. */
interface Layout {
  readonly directMap: bigint;
  readonly directMapBytes: bigint;
  readonly vmalloc: bigint;
  readonly vmallocBytes: bigint;
  readonly memoryMap: bigint;
  readonly memoryMapBytes: bigint;
  readonly ldt: readonly [start: bigint, end: bigint];
  readonly kasan: readonly [start: bigint, end: bigint];
}

const FOUR_LEVELS: Layout = {
  directMap: 0xffff_8880_0000_0000n,
  directMapBytes: 64n * TIB,
  vmalloc: 0xffff_c900_0000_0000n,
  vmallocBytes: 32n * TIB,
  memoryMap: 0xffff_ea00_0000_0000n,
  memoryMapBytes: TIB,
  ldt: [0xffff_8800_0000_0000n, 0xffff_8880_0000_0000n],
  kasan: [0xffff_ec00_0000_0000n, 0xffff_fc00_0000_0000n],
};
const FIVE_LEVELS: Layout = {
  directMap: 0xff11_0000_0000_0000n,
  directMapBytes: 32n * 1024n * TIB,
  vmalloc: 0xffa0_0000_0000_0000n,
  vmallocBytes: 12800n * TIB,
  memoryMap: 0xffd4_0000_0000_0000n,
  memoryMapBytes: 512n * TIB,
  ldt: [0xff10_0000_0000_0000n, 0xff11_0000_0000_0000n],
  kasan: [0xffdf_0000_0000_0000n, 0xffff_fc00_0000_0000n],
};

/** The same with 4 and 5 levels. */
const FIXED: readonly (readonly [name: string, start: bigint, end: bigint])[] = [
  ['cpu entry area', 0xffff_fe00_0000_0000n, 0xffff_fe80_0000_0000n],
  ['espfix stacks', 0xffff_ff00_0000_0000n, 0xffff_ff80_0000_0000n],
  ['EFI runtime', 0xffff_ffef_0000_0000n, 0xffff_ffff_0000_0000n],
  ['fixmap', FIXMAP_FROM, VSYSCALL],
  ['vsyscall', VSYSCALL, VSYSCALL + PAGE],
];

/** Ascending, and none overlaps another. @throws PtmonError `not-fetched` */
export function kernelAreas(source: AreaSource): KernelArea[] {
  const { memory } = source.kernel;
  const areas = memory.wordBytes === 8 ? areas64(source) : areas32(source);
  const found = [...areas, ...imageAreas(source), ...moduleAreas(source.modules)];
  return apart(found.filter(({ start, end }) => end > start));
}

function areas64({ kernel, symbols }: AreaSource): KernelArea[] {
  const layout = kernel.memory.paging.mode.name === '5-level' ? FIVE_LEVELS : FOUR_LEVELS;
  const valueOf = (name: string) => {
    const symbol = symbols?.find(name);
    return symbol && attempt(() => kernel.memory.u64(symbol.address));
  };
  const directMap = valueOf('page_offset_base') ?? layout.directMap;
  const vmalloc = valueOf('vmalloc_base') ?? layout.vmalloc;
  const memoryMap = valueOf('vmemmap_base') ?? layout.memoryMap;
  const least = (one: bigint, other: bigint) => (one < other ? one : other);
  const areas: KernelArea[] = [
    { name: 'LDT remap', start: layout.ldt[0], end: layout.ldt[1] },
    // KASLR brings the areas closer to each other than they are large.
    { name: 'direct map', start: directMap, end: least(directMap + layout.directMapBytes, vmalloc) },
    { name: 'vmalloc', start: vmalloc, end: least(vmalloc + layout.vmallocBytes, memoryMap) },
    { name: 'vmemmap', start: memoryMap, end: memoryMap + layout.memoryMapBytes },
    { name: 'modules', start: modulesFrom(symbols), end: MODULES_TO },
    ...FIXED.map(([name, start, end]) => ({ name, start, end })),
  ];
  const hasKasan = symbols?.find('kasan_early_shadow_page') !== undefined;
  return hasKasan ? [...areas, { name: 'KASAN shadow', start: layout.kasan[0], end: layout.kasan[1] }] : areas;
}

/** Behind the image: a kernel that can be moved (CONFIG_RANDOMIZE_BASE) leaves 1 GiB for it. */
function modulesFrom(symbols: SymbolTable | undefined): bigint {
  const isMovable = symbols === undefined || symbols.find('kaslr_get_random_long') !== undefined;
  return IMAGE_FROM + (isMovable ? GIB : GIB / 2n);
}

function moduleAreas(modules: readonly KernelModule[]): KernelArea[] {
  return modules.flatMap(({ name, ranges }) =>
    ranges.map(({ start, end }) => ({ name: `module ${name}`, start, end: (end + PAGE - 1n) & ~(PAGE - 1n) })),
  );
}

/** Cuts areas where later ones of the list are within them. */
function apart(areas: readonly KernelArea[]): KernelArea[] {
  const bounds = [...new Set(areas.flatMap(({ start, end }) => [start, end]))].sort((a, b) => (a < b ? -1 : 1));
  const result: KernelArea[] = [];
  for (const [index, start] of bounds.entries()) {
    const end = bounds[index + 1] ?? VA_END;
    const area = areas.findLast((each) => each.start <= start && each.end > start);
    if (area === undefined) continue;
    const last = result.at(-1);
    if (last !== undefined && last.end === start && last.name === area.name)
      result[result.length - 1] = { ...last, end };
    else result.push({ start, end, name: area.name });
  }
  return result;
}

/** The area that an address is in; undefined between them. @param areas as `kernelAreas` has them */
export function areaAt(areas: readonly KernelArea[], va: bigint): KernelArea | undefined {
  const area = areas[partitionPoint(areas.length, (index) => areas[index]!.end <= va)];
  return area !== undefined && area.start <= va ? area : undefined;
}
