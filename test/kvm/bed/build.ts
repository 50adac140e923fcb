/**
 * Makes the test bed: a machine with a KVM, for hosts that have none. QEMU emulates a processor with AMD's virtualization (TCG, `-cpu
 * max,+svm,+npt`); on it runs Debian's kernel with its kvm-amd; and that runs guests as KVM does anywhere.
 *
 *   node scripts/run.mjs build/test/kvm/bed/build-main.js [--update]
 *
 * Nothing is installed and no root is needed. The files go to PTMON_KVM_DIR, else to ptmon/kvm in the user's cache folder, in a folder
 * named after the content of all that they are made of here; --update asks apt for newer packages.
 */
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import process from 'node:process';
import { type CpioEntry, cpioArchive } from '../../../src/drivers/qemu/launch/initramfs/cpio.ts';
import { download, output, packageNames, unpack, withDependencies } from './packages.ts';

/** The programs of the machine; Node itself is this host's. */
const PROGRAMS = ['qemu-system-x86', 'busybox-static', 'libstdc++6'];

/** What the disk has no use for. */
const USELESS = ['doc', 'man', 'locale', 'iso-codes', 'xml', 'lintian', 'bug', 'zoneinfo', 'info'].map(
  (name) => `./usr/share/${name}`,
);

/** What the kernel needs to reach its disk, and its KVM. */
const MODULES = ['virtio_blk', 'ext4', 'crc32c_generic', 'kvm-amd'];
const MODULE_FOLDERS = [
  'drivers/block',
  'fs',
  'lib',
  'crypto',
  'arch/x86',
  'drivers/crypto/ccp',
  'virt',
  'drivers/char/hw_random',
];

export interface BedFiles {
  readonly kernel: string;
  readonly initramfs: string;
  /** The root file system, ext4. */
  readonly disk: string;
}

/** Where the sources of the bed are, when this runs compiled too. */
const SOURCES = join(process.cwd(), 'test/kvm/bed');

export function bedDirectory(): string {
  const { PTMON_KVM_DIR: chosen, XDG_CACHE_HOME: cache } = process.env;
  if (chosen) return chosen;
  return join(cache || join(homedir(), '.cache'), 'ptmon', 'kvm');
}

/** What everything here is made of: the sources beside this file, the programs that are named here, and this Node. */
function contentKey(): string {
  const hash = createHash('sha256').update(`${process.version} ${statSync(process.execPath).size}`);
  for (const name of readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(SOURCES, name);
    if (/build\.ts|packages\.ts|\.sh$|dr7\//.test(name) && statSync(path).isFile()) {
      hash.update(`\0${name}\0`).update(readFileSync(path));
    }
  }
  return hash.digest('hex').slice(0, 16);
}

/** The bed's files where they have been made; undefined where not. */
export function findBed(): BedFiles | undefined {
  const folder = join(bedDirectory(), contentKey());
  return existsSync(folder) ? filesIn(folder) : undefined;
}

function filesIn(folder: string): BedFiles {
  return { kernel: join(folder, 'vmlinuz'), initramfs: join(folder, 'initramfs'), disk: join(folder, 'disk.img') };
}

/**
 * Makes the bed, unless it is there.
 *
 * @throws Error where a program or a package is missing, with what to do
 */
export function buildBed({ update = false, say = () => {} }: BuildOptions = {}): BedFiles {
  const home = bedDirectory();
  const folder = join(home, contentKey());
  if (existsSync(folder) && !update) return filesIn(folder);
  mkdirSync(home, { recursive: true });
  const work = mkdtempSync(join(home, 'making-'));
  try {
    make(work, say);
    rmSync(folder, { recursive: true, force: true });
    // Beds of other contents are of no use any more.
    for (const name of readdirSync(home))
      if (/^[0-9a-f]{16}$/.test(name)) rmSync(join(home, name), { recursive: true });
    renameSync(join(work, 'made'), folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return filesIn(folder);
}

export interface BuildOptions {
  readonly update?: boolean;
  readonly say?: (line: string) => void;
}

function make(work: string, say: (line: string) => void): void {
  const made = join(work, 'made');
  mkdirSync(made);
  const release = newestKernel();
  say(`kernel ${release}`);
  const kernelTree = join(work, 'kernel');
  mkdirSync(kernelTree);
  for (const deb of download([`linux-image-${release}`], join(work, 'kernel-package'))) {
    unpack(deb, kernelTree, { only: ['./boot/*', ...MODULE_FOLDERS.map((name) => `*/kernel/${name}/*`)] });
  }
  copyFileSync(join(kernelTree, 'boot', `vmlinuz-${release}`), join(made, 'vmlinuz'));

  const root = join(work, 'root');
  makeRoot(root, work, say);
  copyFileSync(compileModule(release, work), join(root, 'usr/lib/dr7.ko'));

  const modules = modulesInOrder(kernelTree, work);
  say(`modules ${modules.map((file) => basename(file)).join(' ')}`);
  writeFileSync(join(made, 'initramfs'), cpioArchive(initramfs(root, modules)));
  makeDisk(root, join(made, 'disk.img'), 64);
  writeFileSync(join(made, 'bed.json'), `${JSON.stringify({ release, packages: installed(work) }, undefined, 2)}\n`);
}

/** The packages that went in, by their files' names: what a bug report wants to know. */
function installed(work: string): string[] {
  return readdirSync(join(work, 'packages')).sort();
}

/** The newest that is not of the cloud flavour, which has no KVM, and from 6.7 on, which has PAGEMAP_SCAN. */
function newestKernel(): string {
  const releases = packageNames('linux-image-')
    .map((name) => /^linux-image-(\d+\.\d+\.\d+\S*-amd64)$/.exec(name)?.[1])
    .filter((release) => release !== undefined && !/cloud|rt-/.test(release)) as string[];
  const newest = releases.sort(byNumbers).at(-1);
  if (newest === undefined) throw new Error('apt knows no package linux-image-VERSION-amd64: the bed takes Debian');
  return newest;
}

function byNumbers(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => (text.match(/\d+/g) ?? []).map(Number)) as [number[], number[]];
  const at = left.findIndex((number, index) => number !== right[index]);
  return at < 0 ? 0 : left[at]! - (right[at] ?? -1);
}

/** A root file system with QEMU, a shell, and Node. */
function makeRoot(root: string, work: string, say: (line: string) => void): void {
  for (const name of ['usr/bin', 'usr/sbin', 'usr/lib', 'usr/lib64', 'dev', 'proc', 'sys', 'run', 'tmp', 'project']) {
    mkdirSync(join(root, name), { recursive: true });
  }
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, join(root, name));
  const packages = withDependencies(PROGRAMS, work);
  say(`${packages.length} packages for the disk`);
  for (const deb of download(packages, join(work, 'packages'))) unpack(deb, root, { without: USELESS });
  const busybox = join(root, 'usr/bin/busybox');
  for (const applet of output(busybox, ['--list']).split('\n').filter(Boolean)) {
    if (!existsSync(join(root, 'usr/bin', applet))) symlinkSync('busybox', join(root, 'usr/bin', applet));
  }
  copyFileSync(process.execPath, join(root, 'usr/bin/node'));
  copyFileSync(join(SOURCES, 'bed-init.sh'), join(root, 'bed-init'));
  output('chmod', ['755', join(root, 'bed-init')]);
}

/** The module that makes emulated debug registers count, compiled against the kernel's headers. */
function compileModule(release: string, work: string): string {
  const base = release.replace(/-amd64$/, '');
  const tree = join(work, 'headers');
  const names = [`linux-headers-${release}`, `linux-headers-${base}-common`, `linux-kbuild-${base}`];
  for (const deb of download(names, join(work, 'header-packages'))) {
    mkdirSync(tree, { recursive: true });
    unpack(deb, tree);
  }
  const headers = join(tree, 'usr/src', `linux-headers-${release}`);
  // It includes the common one by the path where it would be installed.
  const makefile = join(headers, 'Makefile');
  writeFileSync(makefile, readFileSync(makefile, 'utf8').replace('include /usr', `include ${tree}/usr`));
  const folder = join(work, 'dr7');
  mkdirSync(folder);
  for (const name of readdirSync(join(SOURCES, 'dr7'))) copyFileSync(join(SOURCES, 'dr7', name), join(folder, name));
  const compiler = process.env['CC'] || 'gcc';
  const make = [`CC=${compiler}`, 'CROSS_COMPILE=', 'CONFIG_DEBUG_INFO_BTF_MODULES='];
  output('make', ['-C', headers, `M=${folder}`, ...make, 'modules'], {
    hint: 'It takes make, gcc and libelf1 (on Debian: apt-get install make gcc libelf1).',
  });
  return join(folder, 'dr7.ko');
}

/** Files of modules that the kernel can load as they are, each after those that it needs. */
function modulesInOrder(tree: string, work: string): string[] {
  /** Names of modules know no difference between - and _. */
  const plain = (name: string) =>
    basename(name)
      .replace(/\.ko(\.\w+)?$/, '')
      .replaceAll('-', '_');
  const files = readdirSync(tree, { recursive: true, encoding: 'utf8' }).filter((name) => /\.ko(\.\w+)?$/.test(name));
  const known = new Map(files.map((name) => [plain(name), join(tree, name)]));
  const ordered: string[] = [];
  const add = (name: string): void => {
    const file = known.get(plain(name));
    if (file === undefined) return;
    known.delete(plain(name));
    const ready = join(work, `${plain(name)}.ko`);
    if (file.endsWith('.ko')) copyFileSync(file, ready);
    else output('sh', ['-c', `${file.endsWith('.xz') ? 'xz' : 'zstd'} -dc "$1" > "$2"`, 'sh', file, ready]);
    // .modinfo is a section of NUL-terminated texts.
    const depends = /\0depends=([^\0]*)\0/.exec(readFileSync(ready, 'latin1'))?.[1] ?? '';
    for (const other of depends.split(',').filter(Boolean)) add(other);
    ordered.push(ready);
  };
  for (const name of MODULES) add(name);
  return ordered;
}

function initramfs(root: string, modules: readonly string[]): CpioEntry[] {
  const folders = ['bin', 'dev', 'disk', 'modules'].map((path): CpioEntry => ({ kind: 'folder', path, mode: 0o755 }));
  const file = (path: string, from: string): CpioEntry => ({
    kind: 'file',
    path,
    mode: 0o755,
    content: readFileSync(from),
  });
  return [
    ...folders,
    { kind: 'character-device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    file('bin/busybox', join(root, 'usr/bin/busybox')),
    file('init', join(SOURCES, 'first-init.sh')),
    ...modules.map((from, index) => file(`modules/${String(index).padStart(2, '0')}-${basename(from)}`, from)),
  ];
}

/** An ext4 file system with the content of a folder, and so much room beside it. */
export function makeDisk(folder: string, image: string, spareMiB: number): void {
  const kibibytes = Number(output('du', ['-sk', folder]).split('\t')[0]);
  const mebibytes = Math.ceil((kibibytes * 1.15) / 1024) + spareMiB;
  output('mke2fs', ['-q', '-t', 'ext4', '-O', '^has_journal', '-d', folder, image, `${mebibytes}M`], {
    hint: 'mke2fs is in the package e2fsprogs.',
  });
}
