/** Names of a kernel's addresses, from wherever they were read. */
import { finish, type Steps } from '../memory/steps.ts';
import { PtmonError } from '../../core/error.ts';
import { partitionPoint } from '../../core/struct/partition-point.ts';

export interface KernelSymbol {
  readonly address: bigint;
  /** As nm(1) and /proc/kallsyms write it: `T` for code that other files may call, `d` for data of one file, … */
  readonly type: string;
  readonly name: string;
  /** The module that it is of; null for the kernel's own. */
  readonly module: string | null;
}

/** An address by its symbol: `schedule+0x12`. */
export interface NamedAddress {
  readonly symbol: KernelSymbol;
  /** Bytes from the symbol's address. */
  readonly offset: bigint;
}

/** Symbols, ascending by address. */
export interface SymbolSource {
  readonly addresses: BigUint64Array;
  symbol(index: number): KernelSymbol;
}

/** Bytes behind the last symbol that are still said to be of it: no symbol has a size. */
const MAX_LAST = 4096n;

const NAMES_PER_STEP = 64;

export class SymbolTable {
  readonly #source: SymbolSource;
  /** Below it, addresses are those of processes: symbols there (of per-CPU data) are offsets. */
  readonly kernelStart: bigint;
  #byName: ReadonlyMap<string, number> | undefined;

  constructor(source: SymbolSource, kernelStart: bigint) {
    this.#source = source;
    this.kernelStart = kernelStart;
  }

  get addresses(): BigUint64Array {
    return this.#source.addresses;
  }

  get size(): number {
    return this.#source.addresses.length;
  }

  /** Whether symbols of modules are among them. */
  get hasModules(): boolean {
    for (let index = this.size - 1; index >= 0; index--) if (this.symbol(index).module !== null) return true;
    return false;
  }

  symbol(index: number): KernelSymbol {
    return this.#source.symbol(index);
  }

  /** Makes `find` quick, in steps; without it, the first `find` does so at once. */
  *prepare(): Steps<void> {
    if (this.#byName !== undefined) return;
    const names = new Map<string, number>();
    for (let index = 0; index < this.size; index++) {
      if (index % NAMES_PER_STEP === 0) yield;
      const { name } = this.symbol(index);
      if (!names.has(name)) names.set(name, index);
    }
    this.#byName = names;
  }

  /** The first symbol of this name; undefined where there is none. */
  find(name: string): KernelSymbol | undefined {
    if (this.#byName === undefined) finish(this.prepare());
    const index = this.#byName?.get(name);
    return index === undefined ? undefined : this.symbol(index);
  }

  /** The symbol that an address is in or behind: the first one, where several are at one address. Undefined where there is none. */
  at(va: bigint): NamedAddress | undefined {
    const { addresses } = this.#source;
    if (va < this.kernelStart || addresses.length === 0) return undefined;
    const last = lastUpTo(addresses, va);
    if (last < 0) return undefined;
    const address = addresses[last]!;
    if (address < this.kernelStart || (last === addresses.length - 1 && va - address >= MAX_LAST)) return undefined;
    let first = last;
    while (first > 0 && addresses[first - 1] === address) first--;
    return { symbol: this.symbol(first), offset: va - address };
  }
}

export const NO_KERNEL_SYMBOLS =
  'no symbols of the kernel were found (it was built without CONFIG_KALLSYMS, or is newer than ptmon)';

/**
 * The address of a symbol of the kernel. @throws PtmonError `bad-argument` where it has none of this name, or `symbols` is undefined
 *
 * @param asked what the error begins with
 */
export function addressOfSymbol(symbols: SymbolTable | undefined, name: string, asked = name): bigint {
  const found = symbols?.find(name);
  if (found !== undefined) return found.address;
  const why = symbols === undefined ? NO_KERNEL_SYMBOLS : 'the kernel has no such symbol';
  throw new PtmonError('bad-argument', `${asked}: ${why}`);
}

/** `schedule+0x12 [module]`; without an offset where it is 0. */
export function symbolText({ symbol, offset }: NamedAddress): string {
  const where = offset === 0n ? symbol.name : `${symbol.name}+0x${offset.toString(16)}`;
  return symbol.module === null ? where : `${where} [${symbol.module}]`;
}

/** A table of symbols in memory, in any order. */
export function tableOf(symbols: readonly KernelSymbol[], kernelStart: bigint): SymbolTable {
  const sorted = [...symbols].sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
  const addresses = BigUint64Array.from(sorted, ({ address }) => address);
  return new SymbolTable({ addresses, symbol: (index) => sorted[index]! }, kernelStart);
}

/** Two tables as one. */
export function joinTables(one: SymbolTable, other: SymbolTable): SymbolTable {
  const addresses = new BigUint64Array(one.size + other.size);
  /** Places in the one, and behind them those in the other. */
  const places = new Uint32Array(addresses.length);
  let [mine, theirs] = [0, 0];
  for (let at = 0; at < addresses.length; at++) {
    const [left, right] = [one.addresses[mine], other.addresses[theirs]];
    const isMine = right === undefined || (left !== undefined && left <= right);
    addresses[at] = (isMine ? left : right)!;
    places[at] = isMine ? mine++ : one.size + theirs++;
  }
  const symbol = (index: number) => {
    const place = places[index]!;
    return place < one.size ? one.symbol(place) : other.symbol(place - one.size);
  };
  return new SymbolTable({ addresses, symbol }, one.kernelStart);
}

/** The place of the last address that is not above `va`; -1 where all are. */
function lastUpTo(addresses: BigUint64Array, va: bigint): number {
  return partitionPoint(addresses.length, (index) => addresses[index]! <= va) - 1;
}
