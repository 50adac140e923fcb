/** The package as its users get it: packed, and installed in a folder outside the repository. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';

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
  execFileSync('tar', ['-xzf', `${name}-${version}.tgz`, '--strip-components=1', '-C', join('node_modules', name)], {
    cwd: folder,
  });
  for (const dependency of Object.keys(dependencies ?? {}))
    symlinkSync(resolve('node_modules', dependency), join(folder, 'node_modules', dependency), 'junction');
  return folder;
}
