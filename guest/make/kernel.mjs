/** A kernel of Debian's, its modules for swap, and its types where it does not describe them itself. */
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { download, is32Bit, kernelPackage, kernelParts, unpack, updateI386Lists } from './packages.mjs';
import { cacheFolder, fail, filesIn, install, inWorkFolder, run, say } from './work.mjs';

/** The package of the kernel that a guest boots by default. */
export const DEFAULT_KERNEL = 'linux-image-cloud-amd64';

/** The modules that swap to compressed memory needs, where the kernel does not have them built in: zram and what it packs with. */
const SWAP_MODULES = ['lzo-rle', 'zram'];
/** Where in a package they and what they need are. */
const MODULE_FOLDERS = ['mm', 'crypto', 'lib', 'drivers/block/zram'];

/** The files of the modules in the order to load them. @param {readonly string[]} files @param {string} folder for unpacking */
function swapModules(files, folder) {
  /** Module names know no difference between - and _. @param {string} name */
  const plain = (name) =>
    basename(name)
      .replace(/\.ko(\.[a-z]+)?$/, '')
      .replaceAll('-', '_');
  /** @type {Map<string, string>} */
  const known = new Map();
  for (const file of files) if (/\.ko(\.[a-z]+)?$/.test(file)) known.set(plain(file), file);
  /** @type {string[]} */
  const ordered = [];

  /** @param {string} name */
  const add = (name) => {
    const file = known.get(plain(name));
    if (file === undefined) return;
    known.delete(plain(name));
    const ready = unpacked(file, folder);
    // .modinfo is a section of NUL-terminated texts.
    const depends = /\0depends=([^\0]*)\0/.exec(readFileSync(ready, 'latin1'))?.[1] ?? '';
    for (const other of depends.split(',')) if (other !== '') add(other);
    ordered.push(ready);
  };
  for (const name of SWAP_MODULES) add(name);
  return ordered;
}

/** The module's own file, of a packed one too. @param {string} file @param {string} folder */
function unpacked(file, folder) {
  const program = file.endsWith('.xz') ? 'xz' : file.endsWith('.zst') ? 'zstd' : undefined;
  if (program === undefined) return file;
  const target = join(folder, basename(file).replace(/\.[a-z]+$/, ''));
  run('sh', ['-c', `${program} -dc "$1" > "$2"`, 'sh', file, target], {
    hint: `${program} unpacks the kernel's modules.`,
  });
  return target;
}

/** @typedef {{ package: string, file: string, requested: string[] }} KernelNote */

/** The note beside a kernel with the packages that it comes from. @param {string} release @returns {KernelNote | undefined} */
function noteOf(release) {
  const path = join(cacheFolder(), 'kernels', release, 'kernel.json');
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
}

/** The release and the package of a kernel that is there. @param {string} requested @returns {{ release: string, name: string }} */
export function releaseOf(requested) {
  for (const release of readdirSync(join(cacheFolder(), 'kernels'))) {
    const note = noteOf(release);
    if (note?.requested.includes(requested)) return { release, name: note.package };
  }
  return fail(`there is no kernel ${requested}`);
}

/** @param {string} requested @param {boolean} update */
export function makeKernel(requested, update) {
  const kernels = join(cacheFolder(), 'kernels');
  mkdirSync(kernels, { recursive: true });
  const cached = readdirSync(kernels).find((release) => noteOf(release)?.requested.includes(requested));
  if (cached !== undefined && !update) return say(`kernel ${cached} is there (${requested})`);

  if (is32Bit(requested)) updateI386Lists(update);
  const name = kernelPackage(requested);
  say(`fetching ${name}`);
  inWorkFolder((folder) => {
    const deb = download(name, folder, is32Bit(name));
    const tree = join(folder, 'tree');
    mkdirSync(tree);
    const wanted = ['./boot/*', '*/modules/*/vmlinuz', ...MODULE_FOLDERS.map((part) => `*/kernel/${part}/*`)];
    const findImage = () => filesIn(tree).find((file) => /^vmlinuz(-|$)/.test(basename(file)));
    unpack(deb, tree, wanted);
    if (findImage() === undefined) {
      for (const part of kernelParts(name)) unpack(download(part, folder, is32Bit(name)), tree, wanted);
    }
    const image = findImage();
    if (image === undefined) return fail(`there is no vmlinuz in ${basename(deb)}, nor in the packages it depends on`);
    const files = filesIn(tree);
    const release = basename(image).replace(/^vmlinuz-?/, '') || basename(dirname(image));

    const made = join(folder, 'made');
    mkdirSync(join(made, 'modules'), { recursive: true });
    copyFileSync(image, join(made, 'vmlinuz'));
    for (const [index, module] of swapModules(files, folder).entries()) {
      copyFileSync(module, join(made, 'modules', `${String(index).padStart(2, '0')}-${basename(module)}`));
    }
    // Another name for the same kernel, asked for earlier.
    const before = noteOf(release)?.requested ?? [];
    const note = { package: name, file: basename(deb), requested: [...new Set([...before, requested, name])] };
    writeFileSync(join(made, 'kernel.json'), `${JSON.stringify(note, undefined, 2)}\n`);

    // An update leaves only the newest kernel answering for the meta-package.
    if (cached !== undefined && cached !== release) rmSync(join(kernels, cached), { recursive: true });
    rmSync(join(kernels, release), { recursive: true, force: true });
    renameSync(made, join(kernels, release));
    const modules = readdirSync(join(kernels, release, 'modules'));
    say(`kernel ${release} is there, ${modules.length === 0 ? 'without modules' : `modules ${modules.join(' ')}`}`);
  });
}

/**
 * The types of a kernel that does not describe them itself, as Debian's 32-bit ones: BTF made of its debug symbols.
 *
 * @param {string} requested @param {boolean} update
 */
export function makeTypes(requested, update) {
  const { release, name: image } = releaseOf(requested);
  const target = join('kernels', release, 'types.btf');
  if (existsSync(join(cacheFolder(), target)) && !update) return say(`the types of ${release} are there`);
  const name = `${image}-dbg`;
  say(`fetching ${name}, which is large`);
  inWorkFolder((folder) => {
    unpack(download(name, folder, is32Bit(requested)), folder, [`*/vmlinux-${release}`]);
    const found = filesIn(folder).find((file) => lstatSync(file).isFile() && basename(file) === `vmlinux-${release}`);
    if (found === undefined) return fail(`${name} holds no vmlinux-${release}`);
    const types = join(folder, 'types.btf');
    run('pahole', [`--btf_encode_detached=${types}`, found], { needs: 'pahole is in the package of that name.' });
    install(types, target);
    say(`the types of ${release} are there`);
  });
}
