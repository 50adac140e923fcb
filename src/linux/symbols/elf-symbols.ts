/** The symbol table of an ELF file (elf(5)): of a vmlinux, 64-bit or 32-bit, little endian. */
import { PtmonError } from '../../core/error.ts';
import type { KernelSymbol } from './symbol-table.ts';
import type { SymbolFile } from './symbol-file-source.ts';

const SHT_SYMTAB = 2;
const STT_FUNC = 2;
const STT_OBJECT = 1;
const STT_SECTION = 3;
const STT_FILE = 4;
const STB_LOCAL = 0;
/** KSYM_NAME_LEN. */
const MAX_NAME_BYTES = 512;
/** A vmlinux with everything in it has some 50 MB of them. */
const MAX_TABLE_BYTES = 1 << 28;

export function isElf(beginning: Uint8Array): boolean {
  return Buffer.from(beginning.subarray(0, 4)).toString('latin1') === '\x7fELF';
}

interface Section {
  readonly type: number;
  readonly link: number;
  readonly offset: number;
  readonly byteLength: number;
}

/** @throws PtmonError `corrupt-input` where there are none */
export async function readElfSymbols(file: SymbolFile): Promise<KernelSymbol[]> {
  const beginning = await file.read(0, 64);
  if (!isElf(beginning)) throw strange('is no ELF file');
  const header = viewOf(beginning, 52);
  const is64 = header.getUint8(4) === 2;
  if (header.getUint8(5) !== 1) throw strange('is not little endian');
  const sections = await readSections(file, header, is64);
  const table = sections.find(({ type }) => type === SHT_SYMTAB);
  const texts = table && sections[table.link];
  if (table === undefined || texts === undefined) throw strange('has no symbol table: it was stripped');
  const entries = viewOf(await readPart(file, table), 0);
  const names = Buffer.from(await readPart(file, texts));
  const entryBytes = is64 ? 24 : 16;
  const symbols: KernelSymbol[] = [];
  for (let at = 0; at + entryBytes <= entries.byteLength; at += entryBytes) {
    const info = entries.getUint8(at + (is64 ? 4 : 12));
    const section = entries.getUint16(at + (is64 ? 6 : 14), true);
    const kind = info & 0xf;
    const name = textAt(names, entries.getUint32(at, true));
    if (section === 0 || name === '' || kind === STT_SECTION || kind === STT_FILE) continue;
    const address = is64 ? entries.getBigUint64(at + 8, true) : BigInt(entries.getUint32(at + 4, true));
    const letter = kind === STT_FUNC ? 't' : kind === STT_OBJECT ? 'd' : 'n';
    symbols.push({ address, type: info >>> 4 === STB_LOCAL ? letter : letter.toUpperCase(), name, module: null });
  }
  return symbols;
}

async function readSections(file: SymbolFile, header: DataView, is64: boolean): Promise<Section[]> {
  const offset = is64 ? Number(header.getBigUint64(0x28, true)) : header.getUint32(0x20, true);
  const entryBytes = header.getUint16(is64 ? 0x3a : 0x2e, true);
  const count = header.getUint16(is64 ? 0x3c : 0x30, true);
  if (entryBytes < (is64 ? 64 : 40)) throw strange(`has section headers of ${entryBytes} bytes`);
  const view = viewOf(await readPart(file, { offset, byteLength: count * entryBytes }), count * entryBytes);
  return Array.from({ length: count }, (_, index) => {
    const at = index * entryBytes;
    const word = (field: number) => view.getUint32(at + field, true);
    const wide = (field: number) => Number(view.getBigUint64(at + field, true));
    return is64
      ? { type: word(4), link: word(40), offset: wide(24), byteLength: wide(32) }
      : { type: word(4), link: word(24), offset: word(16), byteLength: word(20) };
  });
}

async function readPart(
  file: SymbolFile,
  { offset, byteLength }: { readonly offset: number; readonly byteLength: number },
): Promise<Uint8Array> {
  if (byteLength > MAX_TABLE_BYTES) throw strange(`claims a table of ${byteLength} bytes`);
  if (offset + byteLength > file.byteLength) throw strange(`ends before its table at ${offset}`);
  return file.read(offset, byteLength);
}

function viewOf(bytes: Uint8Array, least: number): DataView {
  if (bytes.length < least) throw strange(`ends after ${bytes.length} bytes`);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function textAt(names: Buffer, offset: number): string {
  if (offset >= names.length) return '';
  const text = names.subarray(offset, offset + MAX_NAME_BYTES);
  const end = text.indexOf(0);
  return text.toString('latin1', 0, end < 0 ? text.length : end);
}

function strange(what: string): PtmonError {
  return new PtmonError('corrupt-input', `the ELF file of symbols ${what}`);
}
