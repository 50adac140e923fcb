/** The package as its users get it: packed, and installed in a folder outside the repository. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { gunzipSync } from 'node:zlib';

const TAR_BLOCK = 512;

/** Unpacks a tarball of npm's (ustar, pax): plain files below `package/`. A host with Node and npm alone need not have tar(1). */
function unpack(tarball: string, target: string): void {
  const bytes = gunzipSync(readFileSync(tarball));
  const text = (at: number, length: number) => bytes.toString('utf8', at, at + length).replace(/\0.*$/s, '');
  for (let at = 0; at + TAR_BLOCK <= bytes.length && bytes[at] !== 0; ) {
    const byteLength = Number.parseInt(text(at + 124, 12), 8);
    const [name, prefix, type] = [text(at, 100), text(at + 345, 155), text(at + 156, 1)];
    if (type === '' || type === '0') {
      const path = join(target, ...(prefix === '' ? name : `${prefix}/${name}`).split('/').slice(1));
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, bytes.subarray(at + TAR_BLOCK, at + TAR_BLOCK + byteLength));
    }
    at += TAR_BLOCK + Math.ceil(byteLength / TAR_BLOCK) * TAR_BLOCK;
  }
}

/**
 * Packs what is built, unpacks the tarball as `node_modules/ptmon`, and links the dependencies that package.json names, and no
 * others: nothing is fetched. @returns the folder
 */
export function installPackedPackage(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-package-'));
  const npm = process.env['npm_execpath'];
  const pack = ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder];
  if (npm?.endsWith('.js')) execFileSync(process.execPath, [npm, ...pack]);
  else execFileSync('npm', pack, { shell: process.platform === 'win32' });
  const { name, version, dependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
  const home = join(folder, 'node_modules', name);
  mkdirSync(home, { recursive: true });
  unpack(join(folder, `${name}-${version}.tgz`), home);
  for (const dependency of Object.keys(dependencies ?? {}))
    symlinkSync(resolve('node_modules', dependency), join(folder, 'node_modules', dependency), 'junction');
  return folder;
}
