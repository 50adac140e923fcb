/** Symbols that files export, found in an image of what a process has mapped: files of this host, as a linker would load them. */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import { findProgramSymbol } from '../../../src/guest/symbols/program-symbols.ts';
import { findDynamicSymbol, readElfLayout } from '../../../src/guest/symbols/dynamic-symbols.ts';

const BASE = 0x7f00_0000_0000n;

/** Shared libraries that this process has loaded. */
function libraries(): string[] {
  if (process.platform !== 'linux') return [];
  const paths = readFileSync('/proc/self/maps', 'utf8').matchAll(/ (\/\S+\.so(?:\.\d+)*)$/gm);
  return [...new Set([...paths].map(([, path]) => path!))];
}

interface Loaded {
  readonly read: (va: bigint, byteLength: number) => Promise<Uint8Array>;
  /** Name and address, by the section table, which a loaded file lacks. */
  readonly exported: ReadonlyMap<string, bigint>;
}

/** A 64-bit file as it is in memory: its segments, each at its address. */
function load(path: string): Loaded {
  const file = readFileSync(path);
  const at = (offset: bigint) => Number(file.readBigUInt64LE(Number(offset)));
  const [segments, count] = [at(0x20n), file.readUInt16LE(0x38)];
  const memory = new Map<bigint, Uint8Array>();
  for (let index = 0; index < count; index++) {
    const from = segments + index * 56;
    if (file.readUInt32LE(from) !== 1) continue;
    const [offset, va, length] = [8, 16, 32].map((field) => at(BigInt(from + field))) as [number, number, number];
    memory.set(BASE + BigInt(va), file.subarray(offset, offset + length));
  }
  const read = async (va: bigint, byteLength: number) => {
    for (const [start, bytes] of memory) {
      const from = Number(va - start);
      if (from >= 0 && from + byteLength <= bytes.length) return bytes.subarray(from, from + byteLength);
    }
    throw new PtmonError('read-failed', `0x${va.toString(16)} is not mapped`, { va });
  };
  return { read, exported: exportedBy(file) };
}

function exportedBy(file: Buffer): ReadonlyMap<string, bigint> {
  const exported = new Map<string, bigint>();
  const sections = Number(file.readBigUInt64LE(0x28));
  const part = (index: number) => {
    const header = sections + index * 64;
    const [offset, length] = [0x18, 0x20].map((field) => Number(file.readBigUInt64LE(header + field))) as [
      number,
      number,
    ];
    return { type: file.readUInt32LE(header + 4), link: file.readUInt32LE(header + 40), offset, length };
  };
  for (let index = 0; index < file.readUInt16LE(0x3c); index++) {
    const { type, link, offset, length } = part(index);
    if (type !== 11) continue;
    const texts = part(link);
    for (let at = offset; at < offset + length; at += 24) {
      // Functions and objects that are defined here, without those that are chosen at run time.
      if (file.readUInt16LE(at + 6) === 0 || (file[at + 4]! & 0xf) === 10) continue;
      const from = texts.offset + file.readUInt32LE(at);
      const name = file.toString('latin1', from, file.indexOf(0, from));
      if (name !== '' && !exported.has(name)) exported.set(name, file.readBigUInt64LE(at + 8));
    }
  }
  return exported;
}

const area = (name: string, start: bigint) => ({
  at: 0n,
  start,
  end: start + 0x1000n,
  rights: { readable: true, writable: false, executable: false, shared: false },
  isHugetlb: false,
  fileOffset: 0n,
  file: { major: 1, minor: 0, inode: 1n },
  name,
});

const LIBRARIES = libraries().filter((path) => readFileSync(path)[4] === 2);

describe.skipIf(LIBRARIES.length === 0)('libraries of this host', { timeout: 60_000 }, () => {
  test.each(LIBRARIES)('%s', async (path) => {
    const { read, exported } = load(path);
    const layout = (await readElfLayout(read, BASE))!;
    expect(layout).toMatchObject({ is64: true, bias: BASE });
    const names = [...exported.keys()];
    const some = names.filter((_, index) => index % Math.ceil(names.length / 60) === 0);
    expect(some.length).toBeGreaterThan(0);
    for (const name of some) {
      const found = await findDynamicSymbol(read, layout, name);
      // Symbols of several versions have several addresses; the hash table leads to one of them.
      expect(found, name).toBeDefined();
    }
    expect(await findDynamicSymbol(read, layout, 'no such symbol')).toBeUndefined();
    const once = some.find((name) => /^(malloc|pthread_create|uv_|dlopen|__cxa_throw|cos)$/.test(name)) ?? some[0]!;
    expect(await findDynamicSymbol(read, layout, once)).toBe(exported.get(once)! + BASE);
  });

  test('a name, that of one file, and what has none', async () => {
    const [path] = LIBRARIES;
    const { read, exported } = load(path!);
    const [name, address] = [...exported].find(([, value]) => value > 0x1000n)!;
    const file = path!.slice(path!.lastIndexOf('/') + 1);
    const areas = [area('/usr/bin/absent', 0x1000n), area(path!, BASE)];
    const find = (symbol: string) => findProgramSymbol({ symbol, areas, read });
    expect(await find(name)).toBe(address + BASE);
    expect(await find(`${file}!${name}`)).toBe(address + BASE);
    await expect(find(`absent!${name}`)).rejects.toMatchObject({
      code: 'bad-argument',
      message: expect.stringMatching(
        /not exported by absent; absent cannot be searched: 0x1000 is not mapped; give a file/,
      ),
    });
    await expect(find(`libx!${name}`)).rejects.toMatchObject({
      message: expect.stringContaining(`there are absent, ${file}`),
    });
    await expect(find('no such symbol')).rejects.toMatchObject({ message: expect.stringContaining('not exported by') });
  });

  test.each<[what: string, file: string, why: RegExp]>([
    ['a file of text', 'package.json', /the ELF file of symbols is no ELF file/],
    ['a device without a byte', '/dev/null', /the ELF file of symbols is no ELF file/],
    ['a folder', 'src', /EISDIR/],
    ['nothing', 'no such file', /ENOENT/],
  ])('%s instead of a file with symbols: an error that names it', async (_what, file, why) => {
    const [path] = LIBRARIES;
    const areas = [area(path!, BASE)];
    const asked = findProgramSymbol({ symbol: 'main', file, areas, read: load(path!).read });
    await expect(asked).rejects.toMatchObject({ code: 'bad-argument' });
    await expect(asked).rejects.toThrow(why);
    await expect(asked).rejects.toThrow(`symbols ${file}: `);
  });
});

test('garbage in the place of the tables is no symbol, and no endless loop', async () => {
  for (const fill of [0, 1, 0xff]) {
    const read = async (_va: bigint, byteLength: number) => new Uint8Array(byteLength).fill(fill);
    expect(await readElfLayout(read, BASE)).toBeUndefined();
    const layout = { is64: true, bias: BASE, dynamic: BASE };
    expect(await findDynamicSymbol(read, layout, 'main')).toBeUndefined();
  }
});
