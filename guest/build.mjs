/**
 * Makes what a guest needs beside QEMU, in a cache folder outside the clone:
 *
 *   node guest/build.mjs [--kernel PACKAGE]... [--update]
 *
 * Fetches Debian's kernel packages (default linux-image-cloud-amd64; linux-image-686 and linux-image-686-pae are 32-bit) and
 * busybox-static with `apt-get download`, which installs nothing and needs no root, and compiles guest/workload. What is there
 * already is not made again; --update asks apt for newer packages. The folder is PTMON_GUEST_DIR, else ptmon/guest in the user's cache folder.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { DEFAULT_KERNEL, makeKernel, makeTypes } from './make/kernel.mjs';
import { makeLime } from './make/lime.mjs';
import { is32Bit } from './make/packages.mjs';
import { library32, makeBusybox, makeBusybox32, makeWorkload } from './make/programs.mjs';
import { cacheFolder, say } from './make/work.mjs';

function parseCommandLine() {
  try {
    return parseArgs({
      options: {
        kernel: { type: 'string', multiple: true },
        'no-kernel': { type: 'boolean' },
        types: { type: 'boolean' },
        lime: { type: 'boolean' },
        update: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    process.stderr.write(`guest: ${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    return process.exit(2);
  }
}

const USAGE = `usage: node guest/build.mjs [--kernel PACKAGE]... [--types] [--lime] [--update] [--no-kernel]

  --kernel PACKAGE   a Debian kernel package, or a meta-package that depends on one (default ${DEFAULT_KERNEL})
  --types            also make the kernel's types (BTF) of its debug symbols, which are large; needs pahole
  --lime             also compile LiME's module for the kernel; needs make and libelf1
  --update           fetch again what apt has newer
  --no-kernel        only compile the workload; the guest then boots a kernel of yours, without a shell

The files go to ${cacheFolder()} (PTMON_GUEST_DIR).
`;

// The reader of our progress may have closed the pipe; the work goes on.
process.stdout.on('error', () => {});

const options = parseCommandLine();
if (options.help) {
  process.stdout.write(USAGE);
} else {
  mkdirSync(cacheFolder(), { recursive: true });
  const update = options.update ?? false;
  // First what costs nothing and fails first where something is to be installed.
  makeWorkload('workload', () => []);
  const kernels = options.kernel ?? [DEFAULT_KERNEL];
  // Also where it was made before: a workload from before the last change of its sources is no use.
  if (kernels.some(is32Bit) || existsSync(join(cacheFolder(), 'workload-i386')))
    makeWorkload('workload-i386', library32);
  if (!options['no-kernel']) {
    for (const name of kernels) {
      makeKernel(name, update);
      if (options.types) makeTypes(name, update);
      if (options.lime) makeLime(name, update);
    }
    makeBusybox(update);
    if (kernels.some(is32Bit)) makeBusybox32(update);
  }
  say(`the files are in ${cacheFolder()}`);
}
