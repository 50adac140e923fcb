/** Other programs that read dumps, of Debian's packages: libkdumpfile (which makedumpfile's successors use) and drgn. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';

const REQUIRED = process.env['PTMON_LIVE'] === 'required';
const PACKAGES = 'libkdumpfile-dev gcc python3-drgn';
/** Debian's own: another Python in the PATH has no drgn. */
const PYTHON = '/usr/bin/python3';

/** Whether they are here; says so where they are not, and how to get them. */
export function hasOtherReaders(folder: string): boolean {
  const compiled = spawnSync('gcc', [
    ...['-O2', '-o', join(folder, 'translate-kdumpfile')],
    ...[join(import.meta.dirname, 'translate-kdumpfile.c'), '-lkdumpfile', '-laddrxlat'],
  ]);
  const imported = spawnSync(PYTHON, ['-c', 'import drgn']);
  if (compiled.status === 0 && imported.status === 0) return true;
  const words = `apt-get install ${PACKAGES}`;
  if (REQUIRED) throw new Error(`test/live/dumps cannot read dumps with libkdumpfile and drgn: ${words}`);
  process.stderr.write(`LEFT OUT: test/live/dumps, dumps as libkdumpfile and drgn read them\n  ${words}\n`);
  return false;
}

/** The physical address of each, as libkdumpfile finds it in the tables below `root`; what it says where there is none. */
export function translateWithKdumpfile(
  folder: string,
  { path, root, levels }: { readonly path: string; readonly root: string; readonly levels: number },
  addresses: readonly string[],
): string[] {
  return answers(join(folder, 'translate-kdumpfile'), [path, root, String(levels)], addresses);
}

/** 8 bytes at each address of the kernel's half, in hexadecimal; `fault` where drgn finds nothing mapped. */
export function readWithDrgn(path: string, addresses: readonly string[]): string[] {
  return answers(PYTHON, [join(import.meta.dirname, 'read-drgn.py'), path], addresses);
}

function answers(program: string, args: readonly string[], addresses: readonly string[]): string[] {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    input: `${addresses.join('\n')}\n`,
    encoding: 'utf8',
    timeout: 120_000,
  });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr}`);
  return stdout.trimEnd().split('\n');
}
