/** Where the kernel keeps what is told of a process's memory. */
import type { Btf } from '../btf/btf.ts';
import { offsetOf, offsetsOf } from '../btf/offsets.ts';

export type AreaLayout = ReturnType<typeof areaLayout>;

/** @throws PtmonError `corrupt-input` where the BTF lacks something that every kernel has */
export function areaLayout(btf: Btf) {
  return {
    mm: offsetsOf(
      btf,
      'mm_struct',
      ['start_brk', 'brk', 'start_stack', 'map_count', 'total_vm'],
      // Since 6.1 areas are in a maple tree (d4af56c5c7c6), and no longer in a list (763ecb035029).
      ['mm_mt', 'mmap'],
    ),
    area: offsetsOf(
      btf,
      'vm_area_struct',
      ['vm_start', 'vm_end', 'vm_flags', 'vm_pgoff', 'vm_file', 'vm_ops', 'vm_private_data', 'vm_mm'],
      // `anon_name` since 5.17 (9a10064f5625), and then only with CONFIG_ANON_VMA_NAME.
      ['vm_next', 'anon_name', 'shared'],
    ),
    // vma_is_initial_heap (include/linux/mm.h): what only touches the heap is a part of it up to 6.6. Since 6.7, tasks have no thread_group.
    isHeapExact: offsetOf(btf, 'task_struct', 'thread_group') === undefined,
    operations: offsetsOf(btf, 'vm_operations_struct', [], ['name']),
    specialName: offsetOf(btf, 'vm_special_mapping', 'name'),
    anonName: offsetOf(btf, 'anon_vma_name', 'name'),
  } as const;
}
