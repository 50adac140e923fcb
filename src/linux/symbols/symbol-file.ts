/** Symbols in a file: System.map, /proc/kallsyms, nm(1), or the symbol table of a vmlinux. */
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import { type KernelSymbol, type SymbolTable, tableOf } from './symbol-table.ts';
import { isElf, readElfSymbols } from './elf-symbols.ts';
import type { SymbolFile } from './symbol-file-source.ts';

/** Where the kernel is that the symbols are for. */
export interface KernelPlace {
  /** Address of its first code, which `_text` and `_stext` name. */
  readonly base: bigint;
  readonly kernelStart: bigint;
  /** Address of its `init_task`, where that is known. */
  readonly initTask?: bigint;
  /** The symbols that it has of itself, where it has them. */
  readonly own?: SymbolTable | undefined;
}

/** Texts: the /proc/kallsyms of a large kernel has 15 MB. */
const MAX_TEXT_BYTES = 1 << 28;
const LINE = /^([0-9a-f]{8,16}) ([A-Za-z?]) (\S+)(?:\s+\[(\S+)\])?$/;

/**
 * Reads symbols, and moves them to where KASLR has put the kernel.
 *
 * @throws PtmonError `corrupt-input` where the file is no list of symbols, or not of this kernel
 */
export async function readSymbolFile(file: SymbolFile, place: KernelPlace): Promise<SymbolTable> {
  const { base, kernelStart, initTask, own } = place;
  const first = await file.read(0, 64);
  const symbols = isElf(first) ? await readElfSymbols(file) : await readText(file);
  if (symbols.length > 0 && symbols.every(({ address }) => address === 0n)) {
    throw strange('has the address 0 for every symbol: read /proc/kallsyms as root, with kernel.kptr_restrict=0');
  }
  const text = symbols.find(({ name }) => name === '_text') ?? symbols.find(({ name }) => name === '_stext');
  if (text === undefined) throw strange('has neither _text nor _stext, which say where the kernel begins');
  if (text.address < kernelStart) throw strange(`is of another kernel: it has ${text.name} at ${hex(text.address)}`);
  const slide = base - text.address;
  const moved = (address: bigint) => (address >= kernelStart ? address + slide : address);
  // A global function has one address. Files without variables have no init_task.
  const known = symbols.flatMap(({ name, type, module, address }) => {
    const other = type === 'T' && module === null ? own?.find(name) : undefined;
    return other?.type === 'T' ? [{ name, theirs: moved(address), ours: other.address }] : [];
  });
  const others = known.filter(({ theirs, ours }) => theirs !== ours);
  if (others.length * 2 >= known.length && others.length > 0) throw ofAnotherKernel(others[0]!, base);
  const task = symbols.find(({ name }) => name === 'init_task');
  if (initTask !== undefined && task !== undefined && moved(task.address) !== initTask) {
    throw ofAnotherKernel({ name: 'init_task', theirs: moved(task.address), ours: initTask }, base);
  }
  return tableOf(
    symbols.map((symbol) => ({ ...symbol, address: moved(symbol.address) })),
    kernelStart,
  );
}

interface Differing {
  readonly name: string;
  readonly theirs: bigint;
  readonly ours: bigint;
}

function ofAnotherKernel({ name, theirs, ours }: Differing, base: bigint): PtmonError {
  const places = `${name} ${hex(theirs - base)} behind _text, and this kernel ${hex(ours - base)}`;
  return strange(`is of another kernel: it has ${places}`);
}

async function readText(file: SymbolFile): Promise<KernelSymbol[]> {
  if (file.byteLength > MAX_TEXT_BYTES) throw strange(`has ${file.byteLength} bytes and is not an ELF file`);
  const bytes = file.byteLength > 0 ? await file.read(0, file.byteLength) : await readToEnd(file);
  const symbols: KernelSymbol[] = [];
  for (const [index, line] of Buffer.from(bytes).toString('latin1').split('\n').entries()) {
    if (line.trim() === '') continue;
    const match = LINE.exec(line.trimEnd());
    if (match === null) {
      throw strange(`has in line ${index + 1} no symbol (ADDRESS TYPE NAME): ${JSON.stringify(line.slice(0, 64))}`);
    }
    const [, address = '', type = '', name = '', module] = match;
    symbols.push({ address: BigInt(`0x${address}`), type, name, module: module ?? null });
  }
  return symbols;
}

/** Files of /proc have no length. */
async function readToEnd(file: SymbolFile): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const part = await file.read(length, 1 << 20);
    if (part.length === 0) return Buffer.concat(parts);
    parts.push(part);
    length += part.length;
    if (length > MAX_TEXT_BYTES) throw strange(`has more than ${MAX_TEXT_BYTES} bytes and is not an ELF file`);
  }
}

function strange(what: string): PtmonError {
  return new PtmonError('corrupt-input', `the file of symbols ${what}`);
}
