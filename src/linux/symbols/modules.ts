/** The modules that a kernel has loaded, and their symbols (struct module, include/linux/module.h). */
import { offsetOf, offsetsOf } from '../btf/offsets.ts';
import { arrayLength, plainType, structureOf } from '../btf/structure.ts';
import type { LinuxKernel } from '../kernel/kernel.ts';
import { attempt } from '../memory/guest-fault.ts';
import { listNodes } from '../memory/linked-list.ts';
import { attemptSteps, type Steps } from '../memory/steps.ts';
import type { KernelSymbol } from './symbol-table.ts';

export interface KernelModule {
  readonly name: string;
  /** Memory that it has been given, `end` exclusive. */
  readonly ranges: readonly { readonly start: bigint; readonly end: bigint }[];
  /** Those that are left after it was loaded; their types are those of symbols that no other module sees. */
  readonly symbols: readonly KernelSymbol[];
}

/** MODULE_NAME_LEN is 64 less a word. */
const MAX_NAME_BYTES = 64;
/** KSYM_NAME_LEN. */
const MAX_SYMBOL_BYTES = 512;
/** The largest modules have some 10,000. */
const MAX_SYMBOLS = 1 << 16;
const MAX_MODULE_BYTES = 1n << 28n;
/** Memory types of a module: 7 (enum mod_mem_type). */
const MAX_MEMORIES = 16;

/** @param list address of the kernel's list of them, `modules` @throws PtmonError `not-fetched`; `corrupt-input` where the BTF knows no modules */
export function* readModules(kernel: LinuxKernel, list: bigint, faults: (why: string) => void): Steps<KernelModule[]> {
  const reader = new ModuleReader(kernel);
  const modules: KernelModule[] = [];
  for (const node of yield* listNodes(kernel.memory, { head: list, what: 'modules' }, faults)) {
    const module = yield* attemptSteps(() => reader.read(node), faults);
    if (module !== undefined) modules.push(module);
  }
  return modules;
}

/** Offsets of a piece of memory: where it begins, and its bytes. */
interface Piece {
  readonly base: number;
  readonly size: number;
}

class ModuleReader {
  readonly #kernel: LinuxKernel;
  readonly #module: Readonly<Record<'list' | 'name', number>> & Readonly<Partial<Record<'kallsyms', number>>>;
  readonly #kallsyms: Readonly<Partial<Record<'symtab' | 'num_symtab' | 'strtab' | 'typetab', number>>>;
  readonly #pieces: readonly Piece[];

  constructor(kernel: LinuxKernel) {
    const { btf } = kernel;
    this.#kernel = kernel;
    this.#module = offsetsOf(btf, 'module', ['list', 'name'], ['kallsyms']);
    this.#kallsyms = offsetsOf(btf, 'mod_kallsyms', [], ['symtab', 'num_symtab', 'strtab', 'typetab']);
    this.#pieces = piecesOf(kernel);
  }

  *read(node: bigint): Steps<KernelModule> {
    const { memory } = this.#kernel;
    const at = node - BigInt(this.#module.list);
    const name = memory.text(at + BigInt(this.#module.name), MAX_NAME_BYTES);
    const ranges = this.#pieces.flatMap(({ base, size }) => {
      const start = memory.pointer(at + BigInt(base));
      const byteLength = BigInt(memory.u32(at + BigInt(size)));
      const isThere = start >= memory.kernelStart && byteLength > 0n && byteLength < MAX_MODULE_BYTES;
      return isThere ? [{ start, end: start + byteLength }] : [];
    });
    return { name, ranges, symbols: yield* this.#symbols(at, name) };
  }

  *#symbols(module: bigint, name: string): Steps<KernelSymbol[]> {
    const { memory } = this.#kernel;
    const { symtab, num_symtab: count, strtab, typetab } = this.#kallsyms;
    const { kallsyms } = this.#module;
    const symbols: KernelSymbol[] = [];
    if (kallsyms === undefined || symtab === undefined || count === undefined || strtab === undefined) return symbols;
    const table = memory.pointer(module + BigInt(kallsyms));
    const entries = memory.pointer(table + BigInt(symtab));
    const texts = memory.pointer(table + BigInt(strtab));
    const types = typetab === undefined ? undefined : memory.pointer(table + BigInt(typetab));
    const total = Math.min(memory.u32(table + BigInt(count)), MAX_SYMBOLS);
    // Elf64_Sym has its value behind the rest, Elf32_Sym behind the name.
    const [entryBytes, valueAt] = memory.wordBytes === 8 ? [24n, 8n] : [16n, 4n];
    for (let index = 0n; index < total; index++) {
      yield;
      const entry = entries + index * entryBytes;
      const symbol = attempt(() => ({
        address: memory.pointer(entry + valueAt),
        type: types === undefined ? 't' : String.fromCharCode(memory.u8(types + index)).toLowerCase(),
        name: memory.text(texts + BigInt(memory.u32(entry)), MAX_SYMBOL_BYTES),
        module: name,
      }));
      if (symbol !== undefined && symbol.name !== '') symbols.push(symbol);
    }
    return symbols;
  }
}

/** A module's memory has been an array since 6.4 (ac3b43283923), and two layouts before. */
function piecesOf({ btf }: LinuxKernel): Piece[] {
  const memories = structureOf(btf, 'module')?.members.get('mem');
  const memory = offsetsOf(btf, 'module_memory', [], ['base', 'size']);
  const byteLength = structureOf(btf, 'module_memory')?.byteLength;
  if (memories !== undefined && byteLength !== undefined && memory.base !== undefined && memory.size !== undefined) {
    const { base, size } = memory;
    const count = Math.min(arrayLength(btf, plainType(btf, memories.type)), MAX_MEMORIES);
    return Array.from({ length: count }, (_, index) => {
      const at = memories.offset + index * byteLength;
      return { base: at + base, size: at + size };
    });
  }
  return ['core_layout', 'init_layout'].flatMap((layout) => {
    const [base, size] = [offsetOf(btf, 'module', `${layout}.base`), offsetOf(btf, 'module', `${layout}.size`)];
    return base === undefined || size === undefined ? [] : [{ base, size }];
  });
}
