/** The programs in the guest: the workload, compiled from guest/workload, and busybox. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import process from 'node:process';
import { download, unpack, updateI386Lists } from './packages.mjs';
import { cacheFolder, fail, filesIn, install, inWorkFolder, run, say } from './work.mjs';

const COMPILER = process.env['CC'] || 'gcc';
const COMPILER_FLAGS = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-static', '-no-pie', '-pthread', '-s'];

/** @param {boolean} update */
export function makeBusybox(update) {
  const list = join(cacheFolder(), 'busybox.list');
  if (existsSync(list) && !update) return say('busybox is there');
  inWorkFolder((folder) => {
    const deb = download('busybox-static', folder);
    unpack(deb, folder, ['*/busybox']);
    const program = filesIn(folder).find((file) => file.endsWith('/bin/busybox'));
    if (program === undefined) return fail(`${basename(deb)} contains no bin/busybox`);
    const applets = join(folder, 'busybox.list');
    writeFileSync(applets, run(program, ['--list']));
    install(program, 'busybox', 0o755);
    install(applets, 'busybox.list');
    say(`busybox is there (${basename(deb)})`);
  });
}

/** The shell of 32-bit guests; its commands are those of the other one. @param {boolean} update */
export function makeBusybox32(update) {
  if (existsSync(join(cacheFolder(), 'busybox-i386')) && !update) return say('the 32-bit busybox is there');
  updateI386Lists(update);
  inWorkFolder((folder) => {
    const deb = download('busybox-static', folder, true);
    unpack(deb, folder, ['*/busybox']);
    const program = filesIn(folder).find((file) => file.endsWith('/bin/busybox'));
    if (program === undefined) return fail(`${basename(deb)} holds no bin/busybox`);
    install(program, 'busybox-i386', 0o755);
    say(`the 32-bit busybox is there (${basename(deb)})`);
  });
}

/** The C library for 32-bit programs, unpacked and not installed; returns what the compiler is told of it. */
export function library32() {
  const tree = join(cacheFolder(), 'lib32');
  const version = run(COMPILER, ['-dumpversion']).trim().split('.')[0];
  if (!existsSync(tree)) {
    say('fetching the C library for 32-bit programs');
    inWorkFolder((folder) => {
      const made = join(folder, 'made');
      for (const name of ['libc6-dev-i386', 'libc6-i386', `lib32gcc-${version}-dev`]) {
        run('dpkg-deb', ['--extract', download(name, folder), made]);
      }
      renameSync(made, tree);
    });
  }
  const usr = join(tree, 'usr');
  const folders = [join(usr, 'lib32'), join(usr, 'lib', 'gcc', 'x86_64-linux-gnu', version ?? '', '32')];
  const headers = ['/usr/include/x86_64-linux-gnu', join(usr, 'include', 'x86_64-linux-gnu')];
  return [
    ...['-m32', '-D_FILE_OFFSET_BITS=64'],
    ...folders.flatMap((folder) => [`-B${folder}/`, `-L${folder}`]),
    ...headers.flatMap((folder) => ['-isystem', folder]),
  ];
}

/** @param {string} name of the program @param {() => readonly string[]} moreFlags */
export function makeWorkload(name, moreFlags) {
  const sources = join(import.meta.dirname, '..', 'workload');
  const names = readdirSync(sources).sort();
  const hash = createHash('sha256').update([COMPILER, ...COMPILER_FLAGS].join(' '));
  for (const file of names) hash.update(`\0${file}\0`).update(readFileSync(join(sources, file)));
  const digest = hash.digest('hex');
  const stamp = join(cacheFolder(), `${name}.sha256`);
  const current = existsSync(stamp) && existsSync(join(cacheFolder(), name)) && readFileSync(stamp, 'utf8') === digest;
  if (current) return say(`the ${name} is there`);

  inWorkFolder((folder) => {
    const program = join(folder, name);
    const files = names.filter((file) => file.endsWith('.c')).map((file) => join(sources, file));
    run(COMPILER, [...COMPILER_FLAGS, ...moreFlags(), '-o', program, ...files], {
      hint: 'It needs the C library to link statically: libc6-dev on Debian.',
      needs: 'Install a C compiler (on Debian: apt-get install gcc libc6-dev), or name one in the variable CC.',
    });
    install(program, name, 0o755);
    writeFileSync(stamp, digest);
    say(`the ${name} is compiled`);
  });
}
