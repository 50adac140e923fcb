/** The address of a symbol of a program: from a file with its symbols, or from what its files export, as they are in the guest's memory. */
import { open } from 'node:fs/promises';
import { PtmonError } from '../../core/error.ts';
import { type MemoryArea, readElfSymbols } from '../../linux/index.ts';
import { findDynamicSymbol, readElfLayout, type ReadMemory } from './dynamic-symbols.ts';

export interface SymbolRequest {
  /** `name`, or `FILE!name` for that of one file: the last part of its path. */
  readonly symbol: string;
  /** Path, on this host, of the program or library with its symbol table: the file itself, if it was not stripped, or its debug file. */
  readonly file?: string | undefined;
  /** Of the process. */
  readonly areas: readonly MemoryArea[];
  readonly read: ReadMemory;
}

/** A file of a process, or the vDSO: where its beginning is mapped. */
interface LoadedFile {
  readonly name: string;
  readonly start: bigint;
}

/** @throws PtmonError `bad-argument` for what is no name of a symbol */
export function checkSymbol(name: unknown): void {
  if (typeof name === 'string' && /^(?:[^!]+!)?[^!]+$/.test(name)) return;
  const text = typeof name === 'string' ? `"${name}"` : String(name);
  throw new PtmonError('bad-argument', `${text} is no name of a symbol: give one such as "main" or "libc.so.6!malloc"`);
}

/** @throws PtmonError `bad-argument` where no file has the symbol, saying which were asked and why one could not be */
export async function findProgramSymbol({ symbol, file, areas, read }: SymbolRequest): Promise<bigint> {
  const [name = '', wanted] = symbol.split('!').reverse();
  const loaded = loadedFiles(areas).filter((each) => wanted === undefined || each.name === wanted);
  if (loaded.length === 0) {
    const names = loadedFiles(areas).map((each) => each.name);
    throw new PtmonError('bad-argument', `${symbol}: no such file is mapped; there are ${names.join(', ')}`);
  }
  if (file !== undefined) return fromFile(file, name, await layoutOf(read, loaded[0]!));
  const failures: string[] = [];
  for (const each of loaded) {
    try {
      const layout = await readElfLayout(read, each.start);
      const found = layout && (await findDynamicSymbol(read, layout, name));
      if (found !== undefined) return found;
    } catch (error) {
      if (!(error instanceof PtmonError) || error.code !== 'read-failed') throw error;
      failures.push(`${each.name} cannot be searched: ${error.message}`);
    }
  }
  const asked = loaded.map((each) => each.name).join(', ');
  throw new PtmonError(
    'bad-argument',
    [
      `${name}: not exported by ${asked}`,
      ...failures,
      'give a file with its symbols, as { symbols: PATH }, or an address',
    ].join('; '),
  );
}

async function fromFile(path: string, name: string, bias: bigint): Promise<bigint> {
  const refuse = (error: unknown): never => {
    throw new PtmonError('bad-argument', `symbols ${path}: ${(error as Error).message}`, {}, { cause: error });
  };
  const file = await open(path).catch(refuse);
  try {
    const { size } = await file.stat();
    const read = async (offset: number, byteLength: number) => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(byteLength), 0, byteLength, offset);
      return buffer.subarray(0, bytesRead);
    };
    const symbols = await readElfSymbols({ byteLength: size, read }).catch(refuse);
    const fitting = [...new Set(symbols.filter((each) => each.name === name).map(({ address }) => address))];
    const [found] = fitting;
    if (found === undefined) throw new PtmonError('bad-argument', `symbols ${path}: has no symbol ${name}`);
    if (fitting.length === 1) return found + bias;
    const places = fitting.map((address) => `0x${(address + bias).toString(16)}`).join(', ');
    throw new PtmonError('bad-argument', `symbols ${path}: ${name} is at ${places}; give one of these addresses`);
  } finally {
    await file.close();
  }
}

async function layoutOf(read: ReadMemory, { name, start }: LoadedFile): Promise<bigint> {
  const layout = await readElfLayout(read, start);
  if (layout !== undefined) return layout.bias;
  throw new PtmonError('bad-argument', `${name} is not an ELF file for x86`);
}

/** In the order of their addresses: the program comes before its libraries. */
function loadedFiles(areas: readonly MemoryArea[]): LoadedFile[] {
  const files = new Map<string, LoadedFile>();
  for (const { name: path, start, fileOffset, file } of areas) {
    const name = path.replace(/ \(deleted\)$/, '');
    const isFile = file !== null && fileOffset === 0n && name !== '';
    if ((isFile || name === '[vdso]') && !files.has(name)) files.set(name, { name: baseOf(name), start });
  }
  return [...files.values()];
}

function baseOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
