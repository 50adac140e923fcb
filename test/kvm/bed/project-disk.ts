/** A disk with what is to be tested: this project as it is compiled now, and the guest's files. */
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
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
    for (const name of runtimeDependencies()) {
      cpSync(join('node_modules', name), join(tree, 'node_modules', name), { recursive: true });
    }
    copyGuest(join(tree, 'guest-files'));
    makeDisk(tree, image, 16);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

/** The packages that the project needs when it runs, and those that they need. */
function runtimeDependencies(): Set<string> {
  const found = new Set<string>();
  const add = (manifest: string) => {
    const { dependencies = {} } = JSON.parse(readFileSync(manifest, 'utf8')) as {
      readonly dependencies?: Readonly<Record<string, string>>;
    };
    for (const name of Object.keys(dependencies)) {
      if (found.has(name)) continue;
      found.add(name);
      const inner = join('node_modules', name, 'package.json');
      if (existsSync(inner)) add(inner);
    }
  };
  add('package.json');
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
