/** LiME, the kernel module that saves a machine's memory from inside: Debian's source of it, compiled for a guest's kernel. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { releaseOf } from './kernel.mjs';
import { dependencies, download, is32Bit, unpack } from './packages.mjs';
import { cacheFolder, fail, install, inWorkFolder, run, say } from './work.mjs';

const SOURCE = 'lime-forensics-dkms';

/**
 * Compiles the module with the kernel's headers, which are unpacked and not installed.
 *
 * @param {string} requested the kernel's package @param {boolean} update
 */
export function makeLime(requested, update) {
  const { release, name } = releaseOf(requested);
  const target = join('kernels', release, 'lime.ko');
  if (existsSync(join(cacheFolder(), target)) && !update) return say(`LiME for ${release} is there`);
  const headers = name.replace('linux-image-', 'linux-headers-');
  const i386 = is32Bit(name);
  say(`fetching ${headers} and ${SOURCE}`);
  inWorkFolder((folder) => {
    const tree = join(folder, 'tree');
    mkdirSync(tree);
    // linux-headers-…-common and linux-kbuild-…; the compiler is the host's.
    const needed = dependencies(headers, i386).filter((other) => /^linux-(headers|kbuild)-/.test(other));
    for (const each of [headers, ...needed]) unpack(download(each, folder, i386), tree, ['*']);
    const source = download(SOURCE, folder);
    unpack(source, tree, ['*']);

    const sources = join(tree, 'usr', 'src');
    const build = join(sources, headers);
    // Debian's Makefile names the other headers by where they are installed.
    const makefile = join(build, 'Makefile');
    writeFileSync(makefile, readFileSync(makefile, 'utf8').replaceAll('/usr/src/', `${sources}/`));
    const module = join(folder, 'lime');
    const from = readdirSync(sources).find((entry) => entry.startsWith('lime-forensics-'));
    if (from === undefined) return fail(`${SOURCE} holds no usr/src/lime-forensics-*`);
    cpSync(join(sources, from), module, { recursive: true });
    run('make', ['-C', build, `M=${module}`, 'modules'], {
      needs: 'Install make, gcc and libelf1.',
      hint: "Debian compiles its kernels with gcc-12, which the module's headers ask for.",
    });
    run('strip', ['--strip-debug', join(module, 'lime.ko')]);
    install(join(module, 'lime.ko'), target);
    say(`LiME for ${release} is compiled, ${from}`);
  });
}
