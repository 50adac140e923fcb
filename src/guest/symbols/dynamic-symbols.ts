/** Finds a symbol that a loaded ELF file exports, as a dynamic linker does: through its hash table (System V gABI, GNU's DT_GNU_HASH). */
import { PtmonError } from '../../core/error.ts';

/** Memory at the addresses of a process. @throws PtmonError `read-failed` where a page is not present */
export type ReadMemory = (va: bigint, byteLength: number) => Promise<Uint8Array>;

export interface ElfLayout {
  readonly is64: boolean;
  /** What is added to the addresses of the file: 0 for a program that is not position-independent. */
  readonly bias: bigint;
  /** Address of the dynamic section in memory; undefined for a static program. */
  readonly dynamic: bigint | undefined;
}

const ELF_HEADER_BYTES = 64;
const ET_EXEC = 2;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const MAX_SEGMENTS = 128;
const MAX_DYNAMIC_ENTRIES = 512;
/** Longer chains are no work of a linker. */
const MAX_CHAIN = 1 << 16;
const MAX_NAME_BYTES = 4096;
const SHN_UNDEF = 0;
/** STT_GNU_IFUNC: its value is the address of what chooses the function, not of the function. */
const STT_GNU_IFUNC = 10;

const DT = { hash: 4n, strtab: 5n, symtab: 6n, gnuHash: 0x6fff_fef5n } as const;

/** Undefined where no ELF file of x86 begins at `start`. @param start where the beginning of the file is mapped */
export async function readElfLayout(read: ReadMemory, start: bigint): Promise<ElfLayout | undefined> {
  const header = viewOf(await read(start, ELF_HEADER_BYTES));
  const elfClass = header.getUint8(4);
  if (header.getUint32(0, true) !== 0x464c_457f || header.getUint8(5) !== 1 || elfClass < 1 || elfClass > 2)
    return undefined;
  const is64 = elfClass === 2;
  const [at, size, count] = is64
    ? [header.getBigUint64(0x20, true), header.getUint16(0x36, true), header.getUint16(0x38, true)]
    : [BigInt(header.getUint32(0x1c, true)), header.getUint16(0x2a, true), header.getUint16(0x2c, true)];
  if (size < (is64 ? 56 : 32) || count > MAX_SEGMENTS) return undefined;
  const segments = viewOf(await read(start + at, size * count));
  let [first, dynamic]: (bigint | undefined)[] = [];
  for (let index = 0; index < count; index++) {
    const from = index * size;
    const type = segments.getUint32(from, true);
    const [offset, va] = is64
      ? [segments.getBigUint64(from + 8, true), segments.getBigUint64(from + 16, true)]
      : [BigInt(segments.getUint32(from + 4, true)), BigInt(segments.getUint32(from + 8, true))];
    if (type === PT_LOAD) first ??= va - offset;
    if (type === PT_DYNAMIC) dynamic = va;
  }
  const bias = header.getUint16(16, true) === ET_EXEC ? 0n : BigInt.asUintN(64, start - (first ?? 0n));
  return { is64, bias, dynamic: dynamic === undefined ? undefined : dynamic + bias };
}

/** The address of an exported symbol; undefined where the file has none of this name. */
export async function findDynamicSymbol(
  read: ReadMemory,
  layout: ElfLayout,
  name: string,
): Promise<bigint | undefined> {
  if (layout.dynamic === undefined) return undefined;
  const tables = await readDynamic(read, layout, layout.dynamic);
  const [symbols, texts] = [tables.get(DT.symtab), tables.get(DT.strtab)];
  if (symbols === undefined || texts === undefined) return undefined;
  const finder = new SymbolFinder({ read, layout, symbols, texts }, name);
  const [gnu, plain] = [tables.get(DT.gnuHash), tables.get(DT.hash)];
  if (gnu !== undefined) return finder.byGnuHash(gnu);
  return plain === undefined ? undefined : finder.byHash(plain);
}

async function readDynamic(read: ReadMemory, { is64, bias }: ElfLayout, at: bigint): Promise<Map<bigint, bigint>> {
  const tables = new Map<bigint, bigint>();
  const bytes = is64 ? 16 : 8;
  for (let index = 0; index < MAX_DYNAMIC_ENTRIES; index++) {
    const entry = viewOf(await read(at + BigInt(index * bytes), bytes));
    const [tag, value] = is64
      ? [entry.getBigUint64(0, true), entry.getBigUint64(8, true)]
      : [BigInt(entry.getUint32(0, true)), BigInt(entry.getUint32(4, true))];
    if (tag === 0n) break;
    // The linker may have made addresses of them already (glibc does, musl does not).
    tables.set(tag, value < bias ? value + bias : value);
  }
  return tables;
}

interface SymbolTables {
  readonly read: ReadMemory;
  readonly layout: ElfLayout;
  readonly symbols: bigint;
  readonly texts: bigint;
}

class SymbolFinder {
  readonly #tables: SymbolTables;
  readonly #name: Buffer;

  constructor(tables: SymbolTables, name: string) {
    this.#tables = tables;
    this.#name = Buffer.from(`${name}\0`);
    if (this.#name.length > MAX_NAME_BYTES) throw new PtmonError('bad-argument', 'the name of the symbol is too long');
  }

  /** https://sourceware.org/gnu-gabi/program-loading-and-dynamic-linking.txt */
  async byGnuHash(at: bigint): Promise<bigint | undefined> {
    const [buckets, firstHashed, bloomWords] = [
      await this.#u32(at),
      await this.#u32(at + 4n),
      await this.#u32(at + 8n),
    ];
    if (buckets === 0) return undefined;
    const hash = gnuHashOf(this.#name.subarray(0, -1));
    const bucketsAt = at + 16n + BigInt(bloomWords * (this.#tables.layout.is64 ? 8 : 4));
    const first = await this.#u32(bucketsAt + BigInt((hash % buckets) * 4));
    if (first < firstHashed) return undefined;
    const chainsAt = bucketsAt + BigInt(buckets * 4);
    for (let index = first; index < first + MAX_CHAIN; index++) {
      const chained = await this.#u32(chainsAt + BigInt((index - firstHashed) * 4));
      if ((chained | 1) >>> 0 === (hash | 1) >>> 0) {
        const found = await this.#symbol(index);
        if (found !== undefined) return found;
      }
      if ((chained & 1) === 1) break;
    }
    return undefined;
  }

  async byHash(at: bigint): Promise<bigint | undefined> {
    const buckets = await this.#u32(at);
    if (buckets === 0) return undefined;
    const hash = elfHashOf(this.#name.subarray(0, -1));
    const chainsAt = at + 8n + BigInt(buckets * 4);
    let index = await this.#u32(at + 8n + BigInt((hash % buckets) * 4));
    for (let steps = 0; index !== 0 && steps < MAX_CHAIN; steps++) {
      const found = await this.#symbol(index);
      if (found !== undefined) return found;
      index = await this.#u32(chainsAt + BigInt(index * 4));
    }
    return undefined;
  }

  /** The address of a symbol, if it has the name and is defined here. */
  async #symbol(index: number): Promise<bigint | undefined> {
    const { read, layout, symbols, texts } = this.#tables;
    const { is64, bias } = layout;
    const entry = viewOf(await read(symbols + BigInt(index * (is64 ? 24 : 16)), is64 ? 24 : 16));
    const [info, section] = is64
      ? [entry.getUint8(4), entry.getUint16(6, true)]
      : [entry.getUint8(12), entry.getUint16(14, true)];
    if (section === SHN_UNDEF) return undefined;
    const name = await read(texts + BigInt(entry.getUint32(0, true)), this.#name.length).catch(absentAsUndefined);
    if (name === undefined || this.#name.compare(name) !== 0) return undefined;
    if ((info & 0xf) === STT_GNU_IFUNC) {
      const symbol = this.#name.toString('latin1', 0, this.#name.length - 1);
      throw new PtmonError('bad-argument', `${symbol} is chosen at run time (IFUNC): give the address of the function`);
    }
    return (is64 ? entry.getBigUint64(8, true) : BigInt(entry.getUint32(4, true))) + bias;
  }

  async #u32(va: bigint): Promise<number> {
    return viewOf(await this.#tables.read(va, 4)).getUint32(0, true);
  }
}

/** A name at the very end of the table may be shorter than what is compared with it. */
function absentAsUndefined(error: unknown): undefined {
  if (error instanceof PtmonError && error.code === 'read-failed') return undefined;
  throw error;
}

function gnuHashOf(name: Uint8Array): number {
  let hash = 5381;
  for (const byte of name) hash = (Math.imul(hash, 33) + byte) >>> 0;
  return hash;
}

function elfHashOf(name: Uint8Array): number {
  let hash = 0;
  for (const byte of name) {
    hash = ((hash << 4) + byte) >>> 0;
    const high = hash & 0xf000_0000;
    hash = ((hash ^ (high >>> 24)) & ~high) >>> 0;
  }
  return hash;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
