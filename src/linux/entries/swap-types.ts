/**
 * Which numbers the kernel gives to entries that are no swapped page (include/linux/swap.h): they are the highest of 32, as many as
 * the kernel was built to need, and all below are swap devices. How many devices there can be shows in the BTF, as the length of the
 * kernel's array of them, and what the kernel was built with, in the functions and types that the BTF names.
 */
import type { Btf } from '../btf/btf.ts';
import { KIND } from '../btf/kinds.ts';
import { enumeratorOf } from '../btf/structure.ts';

/** `MAX_SWAPFILES_SHIFT` is 5. */
const TYPES = 32;

/** `lost`: a page that could not be read back from its swap device. */
export type SpecialType = 'poisoned' | 'migrating' | 'device' | 'marker' | 'lost';

/** What an entry of each type is; a type without one is a swap device. */
export type SwapTypes = ReadonlyMap<number, SpecialType>;

export function swapTypesOf(btf: Btf): SwapTypes {
  const has = (name: string) => btf.find(KIND.function, name) !== undefined;
  // In this order from the lowest.
  const groups: [SpecialType, number][] = [
    // SWP_HWPOISON, with CONFIG_MEMORY_FAILURE.
    ['poisoned', has('memory_failure') ? 1 : 0],
    // SWP_MIGRATION_*, with CONFIG_MIGRATION; a third one since 5.19 (6c287605fd56), when pages got that flag (78fbe906cc90).
    [
      'migrating',
      has('migrate_pages') ? (enumeratorOf(btf, 'pageflags', 'PG_anon_exclusive') === undefined ? 2 : 3) : 0,
    ],
    ['device', deviceTypes(has)],
    // SWP_PTE_MARKER, since 5.19 (679d10331910).
    ['marker', btf.find(KIND.typedef, 'pte_marker') === undefined ? 0 : 1],
  ];
  const known = groups.reduce((sum, [, count]) => sum + count, 0);
  const devices = swapDeviceCount(btf);
  // SWP_SWAPIN_ERROR, from 5.19 (9f186f9e5fa9) to 6.1 (15520a3f0469): nothing but the count tells of it.
  if (devices !== undefined && TYPES - devices === known + 1) groups.push(['lost', 1]);
  const names = groups.flatMap(([name, count]) => Array.from({ length: count }, () => name));
  return new Map(names.map((name, index) => [TYPES - names.length + index, name]));
}

/** The length of `swap_info`, an array of pointers (mm/swapfile.c): MAX_SWAPFILES. Its declaration elsewhere has none. */
function swapDeviceCount(btf: Btf): number | undefined {
  let count: number | undefined;
  for (let type = 1; type < btf.typeCount; type++) {
    if (btf.kindOf(type) !== KIND.array) continue;
    const place = btf.placeOf(type);
    const [element, length] = [btf.word(place + 12), btf.word(place + 20)];
    if (length === 0 || length >= TYPES || btf.kindOf(element) !== KIND.pointer) continue;
    const target = btf.word(btf.placeOf(element) + 8);
    if (btf.kindOf(target) === KIND.struct && btf.nameOf(target) === 'swap_info_struct') count = length;
  }
  return count;
}

/** SWP_DEVICE_*, with CONFIG_DEVICE_PRIVATE: four since 5.14 (b756a3b5e7ea), three since 6.15, when this function got its present name. */
function deviceTypes(has: (name: string) => boolean): number {
  if (has('make_device_exclusive')) return 3;
  return has('make_device_exclusive_range') ? 4 : 0;
}
