/** The structures of a kernel made for tests: the names are Linux's, the places are not. */
import { BtfWriter, type MemberPlan } from './btf-writer.ts';

/** What kernels have differed in. */
export interface Vintage {
  /** Areas in a maple tree (6.1), or in a list. */
  readonly areas: 'tree' | 'list';
  /** Threads in `signal` (3.14), or in the tasks' own list alone. */
  readonly threads: 'signal' | 'group';
  /** `__state` (5.14), or `state`. */
  readonly state: '__state' | 'state';
  /** Members that the BTF does not tell of, as `task_struct.mm`. */
  readonly without?: readonly string[];
}

export const NEW: Vintage = { areas: 'tree', threads: 'signal', state: '__state' };
export const OLD: Vintage = { areas: 'list', threads: 'group', state: 'state' };

/** Where members are: `task_struct.pid`. */
export type Places = ReadonlyMap<string, number>;

/** Every structure, its size, and its members; one name in parentheses with a bar before it is in an unnamed structure. */
function structures({ areas, threads, state }: Vintage): Readonly<Record<string, readonly string[]>> {
  return {
    list_head: ['next', 'prev'],
    task_struct: [
      'thread_info',
      state,
      '|real_cred',
      '|signal',
      'flags',
      'exit_state',
      'mm',
      'active_mm',
      'pid',
      'tgid',
      'tasks+16',
      'comm+16',
      'real_parent',
      'group_leader',
      ...(threads === 'signal' ? ['thread_node+16'] : ['thread_group+16']),
      'start_boottime',
      'worker_private',
    ],
    signal_struct: ['sigcnt', ...(threads === 'signal' ? ['thread_head+16'] : [])],
    cred: ['usage', 'uid', 'euid'],
    kthread: ['flags', 'full_name', 'data'],
    mm_struct: [
      '|mm_count',
      ...(areas === 'tree' ? ['|mm_mt+32'] : ['|mmap']),
      '|pgd',
      '|mm_users',
      '|map_count',
      '|total_vm',
      'start_brk',
      'brk',
      'start_stack',
    ],
    maple_tree: ['ma_flags', 'ma_root'],
    vm_area_struct: [
      'vm_start',
      'vm_end',
      ...(areas === 'list' ? ['vm_next'] : []),
      'vm_mm',
      '|vm_flags',
      'shared+32',
      'vm_pgoff',
      'vm_file',
      'vm_ops',
      'vm_private_data',
      'anon_name',
    ],
    vm_operations_struct: ['open', 'name'],
    vm_special_mapping: ['name'],
    anon_vma_name: ['kref', 'name+32'],
    path: ['mnt', 'dentry'],
    file: ['f_path:path+32', 'f_inode', 'f_mapping'],
    address_space: ['host'],
    inode: ['i_ino', 'i_sb', 'i_flags'],
    super_block: ['s_dev', 's_type'],
    file_system_type: ['name'],
    qstr: ['len', 'name'],
    hlist_bl_node: ['next', 'pprev'],
    dentry: ['d_hash:hlist_bl_node+32', 'd_parent', 'd_name:qstr+32', 'd_op', 'd_sb'],
    dentry_operations: ['d_dname'],
    vfsmount: ['mnt_root'],
    mount: ['mnt_parent', 'mnt_mountpoint', 'mnt'],
    swap_info_struct: ['flags', 'type', 'max', 'pages', 'swap_file'],
  };
}

export function makeTypes(vintage: Vintage): { readonly btf: Uint8Array; readonly places: Places } {
  const writer = new BtfWriter();
  const long = writer.typedef('u64', writer.int('unsigned long', 8));
  const places = new Map<string, number>();
  const made = new Map<string, number>();
  for (const [name, members] of Object.entries(structures(vintage))) {
    const plans: MemberPlan[] = [];
    const unnamed: MemberPlan[] = [];
    // Nothing is where a real kernel has it, but lists: their size tells whose types these are.
    let offset = name === 'list_head' ? 0 : 8;
    for (const plan of members) {
      const [, bar, word = '', type, size] = /^(\|?)(\w+)(?::(\w+))?(?:\+(\d+))?$/.exec(plan)!;
      const at = offset;
      offset += size === undefined ? 8 : Number(size);
      places.set(`${name}.${word}`, at);
      if (vintage.without?.includes(`${name}.${word}`)) continue;
      const member = { name: word, type: made.get(type ?? '') ?? long, offset: at };
      if (bar === '|') unnamed.push(member);
      else plans.push(member);
    }
    // A union in a structure, neither with a name, as in mm_struct.
    if (unnamed.length > 0) {
      const inner = writer.structure('', offset, unnamed);
      const union = writer.structure('', offset, [{ name: '', type: inner, offset: 0 }], 'union');
      plans.push({ name: '', type: union, offset: 0 });
    }
    made.set(name, writer.structure(name, offset, plans));
  }
  for (const [name, slots] of [
    ['maple_range_64', 4],
    ['maple_arange_64', 3],
  ] as const) {
    if (vintage.areas === 'list') break;
    writer.structure(name, 8 * 2 * slots, [
      { name: 'pivot', type: writer.array(long, slots - 1), offset: 8 },
      { name: 'slot', type: writer.array(long, slots), offset: 8 * slots },
    ]);
  }
  writer.enumeration('maple_type', { maple_dense: 0, maple_leaf_64: 1, maple_range_64: 2, maple_arange_64: 3 });
  writer.enumeration('pageflags', { PG_locked: 0, PG_anon_exclusive: 17 });
  for (const name of ['migrate_pages', 'memory_failure', 'format_worker_id']) writer.function(name);
  writer.typedef('pte_marker', long);
  return { btf: writer.bytes(), places };
}
