/** The programs that make other dumps of QEMU's: makedumpfile, and the libraries that compress where its package does not. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { kdumpDump, PAGE } from '../../drivers/dump/write-dump.ts';

const REQUIRED = process.env['PTMON_LIVE'] === 'required';

/** Whether makedumpfile and the libraries are here; says so where they are not, and how to get them. */
export function hasDumpTools(folder: string): boolean {
  const missing = [
    ...(spawnSync('makedumpfile', ['--help']).error === undefined ? [] : ['makedumpfile']),
    ...(buildCompressor(folder) ? [] : ['libsnappy-dev libzstd-dev gcc']),
  ];
  if (missing.length === 0) return true;
  const words = `apt-get install ${missing.join(' ')}`;
  if (REQUIRED) throw new Error(`test/live/dumps cannot make the dumps of makedumpfile: ${words}`);
  process.stderr.write(`LEFT OUT: test/live/dumps, the dumps that makedumpfile writes\n  ${words}\n`);
  return false;
}

function buildCompressor(folder: string): boolean {
  const source = join(import.meta.dirname, 'compress-pages.c');
  return spawnSync('gcc', ['-O2', '-o', join(folder, 'compress-pages'), source, '-lsnappy', '-lzstd']).status === 0;
}

/** Runs makedumpfile. @throws Error with what it says */
export function makedumpfile(options: readonly string[], from: string, to: string): void {
  const flattened = options.includes('-F');
  const rearranged = options.includes('-R');
  const input = rearranged ? openSync(from, 'r') : undefined;
  const output = flattened ? openSync(to, 'w') : undefined;
  const args = rearranged ? [...options, to] : [...options, from, ...(flattened ? [] : [to])];
  const { status, stderr, stdout } = spawnSync('makedumpfile', args, {
    stdio: [input ?? 'ignore', output ?? 'pipe', 'pipe'],
  });
  for (const fd of [input, output]) if (fd !== undefined) closeSync(fd);
  if (status !== 0) throw new Error(`makedumpfile ${options.join(' ')}: ${String(stderr)}${String(stdout ?? '')}`);
}

/**
 * QEMU's ELF core as makedumpfile takes it, and with the note of the guest's Linux. makedumpfile 1.7.2 looks for program headers right
 * behind the header, where QEMU has put the section headers since 7.2. The note is what QEMU adds itself for a guest whose kernel has
 * the driver of fw_cfg.
 */
export function writeElfForMakedumpfile(from: string, to: string, vmcoreinfo: Uint8Array): void {
  const [input, output] = [openSync(from, 'r'), openSync(to, 'w')];
  const part = (position: number, byteLength: number) => {
    const bytes = Buffer.alloc(byteLength);
    readSync(input, bytes, 0, byteLength, position);
    return bytes;
  };
  const header = part(0, 64);
  const [table, entryBytes, count] = [
    Number(header.readBigUInt64LE(32)),
    header.readUInt16LE(54),
    header.readUInt16LE(56),
  ];
  const programs = part(table, entryBytes * count);
  const notes = { at: Number(programs.readBigUInt64LE(8)), byteLength: Number(programs.readBigUInt64LE(32)) };
  const data = notes.at + notes.byteLength;
  header.writeBigUInt64LE(64n, 32);
  header.fill(0, 40, 48);
  header.fill(0, 58, 64);
  const notesAt = 64 + programs.length;
  const delta = notesAt + notes.byteLength + vmcoreinfo.length - data;
  programs.writeBigUInt64LE(BigInt(notesAt), 8);
  for (const field of [32, 40]) programs.writeBigUInt64LE(BigInt(notes.byteLength + vmcoreinfo.length), field);
  for (let at = entryBytes; at < programs.length; at += entryBytes) {
    programs.writeBigUInt64LE(programs.readBigUInt64LE(at + 8) + BigInt(delta), at + 8);
  }
  for (const bytes of [header, programs, part(notes.at, notes.byteLength), vmcoreinfo]) writeSync(output, bytes);
  const { size } = statSync(from);
  for (let at = data; at < size; at += 2 ** 22) writeSync(output, part(at, Math.min(2 ** 22, size - at)));
  closeSync(input);
  closeSync(output);
}

/** The guest's RAM as a kdump whose pages the real libraries have compressed. */
export function writeCompressedKdump(
  method: 'snappy' | 'zstd',
  files: { readonly tools: string; readonly ram: string; readonly to: string },
  notes: Uint8Array,
): void {
  const { tools, ram, to } = files;
  const bytes = readFileSync(ram);
  const { status, stdout } = spawnSync(join(tools, 'compress-pages'), [method], { input: bytes, maxBuffer: 2 ** 30 });
  if (status !== 0) throw new Error(`compress-pages ${method} has failed`);
  const flags = { snappy: 4, zstd: 0x20 }[method];
  const frames = new Map<number, Uint8Array>();
  const stored: { readonly flags: number; readonly bytes: Uint8Array }[] = [];
  for (let at = 0, gfn = 0; at < stdout.length; gfn++) {
    const byteLength = stdout.readUInt32LE(at);
    const page = stdout.subarray(at + 4, at + 4 + byteLength);
    stored.push({ flags: byteLength < PAGE ? flags : 0, bytes: page });
    frames.set(gfn, page);
    at += 4 + byteLength;
  }
  writeFileSync(to, kdumpDump(frames, { notes, store: (_page, gfn) => stored[gfn]! }));
}
