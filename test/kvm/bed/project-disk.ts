/** A disk with what is to be tested: this project as it is compiled now, and the guest's files. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { chooseKernel, guestDirectory } from '../../../src/drivers/qemu/launch/guest-files.ts';
import { makeDisk } from './build.ts';

/** Where the disk is mounted in the bed. */
export const PROJECT = '/project';

/** @param image the file to make; the compiled project is expected in `build` of the current folder */
export function makeProjectDisk(image: string): void {
  const tree = mkdtempSync(join(tmpdir(), 'ptmon-bed-project-'));
  try {
    for (const part of ['src', 'test/kvm', 'test/live', 'test/sinks', 'test/cli']) {
      cpSync(join('build', part), join(tree, 'build', part), { recursive: true });
    }
    // The compiled sources look for the version two folders above theirs.
    for (const folder of ['.', 'build']) copyFileSync('package.json', join(tree, folder, 'package.json'));
    for (const name of importedPackages(join(tree, 'build/src'))) {
      cpSync(join('node_modules', name), join(tree, 'node_modules', name), { recursive: true });
    }
    // The bed has no compiler.
    execFileSync('gcc', ['-O2', '-static', '-o', join(tree, 'written-pages'), 'native/written-pages.c']);
    copyGuest(join(tree, 'guest-files'));
    makeDisk(tree, image, 16);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

/** The packages that the compiled sources import, and those that they depend on. */
function importedPackages(folder: string): Set<string> {
  const found = new Set<string>();
  const add = (name: string) => {
    const manifest = join('node_modules', name, 'package.json');
    if (found.has(name) || !existsSync(manifest)) return;
    found.add(name);
    const { dependencies = {} } = JSON.parse(readFileSync(manifest, 'utf8')) as {
      readonly dependencies?: Readonly<Record<string, string>>;
    };
    for (const other of Object.keys(dependencies)) add(other);
  };
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.js')) continue;
    const text = readFileSync(join(folder, name), 'utf8');
    // A name that begins with a dot is a path: `..` would be this whole project.
    for (const [, imported = ''] of text.matchAll(/\b(?:from|import\()\s*'((?:@[\w.-]+\/)?\w[\w.-]*)/g)) add(imported);
  }
  return found;
}

/** One kernel, and the guest's programs. */
function copyGuest(folder: string): void {
  const kernel = chooseKernel(process.env['PTMON_KVM_GUEST_KERNEL'] || undefined);
  const target = join(folder, 'kernels', kernel.release);
  mkdirSync(join(target, 'modules'), { recursive: true });
  copyFileSync(kernel.path, join(target, 'vmlinuz'));
  for (const module of kernel.modules) copyFileSync(module, join(target, 'modules', module.split('/').at(-1)!));
  for (const name of ['workload', 'busybox', 'busybox.list'])
    copyFileSync(join(guestDirectory(), name), join(folder, name));
}
