/** Where the parts of a guest lie: kernels, their modules, the workload and the shell, as `guest/build.mjs` leaves them. */
import { accessSync, closeSync, constants, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PtmonError } from '../../../core/error.ts';
import { notAFile, openError } from '../../../driver/input-file.ts';

/** A kernel that a guest can boot. */
export interface GuestKernel {
  /** The compressed image, as QEMU's `-kernel` takes it. */
  readonly path: string;
  /** What `uname -r` says: `6.1.0-56-cloud-amd64`. */
  readonly release: string;
  /** Files of the modules that swap needs, in the order to load them; none where they are not at hand. */
  readonly modules: readonly string[];
  /** Of its registers: the programs in the guest are of the same kind. */
  readonly bits: 32 | 64;
  /** A file of its types (BTF), for a kernel that does not describe them itself. */
  readonly types?: string;
}

/** The programs inside the guest. */
export interface GuestPrograms {
  /** The static program that is the guest's first process and its workload. */
  readonly workload: string;
  /** Static busybox and the names it answers to, for a shell; absent where there is none. */
  readonly busybox?: { readonly path: string; readonly applets: readonly string[] };
}

/** The script that makes these files, in the package and in a clone alike. */
export const BUILD_SCRIPT: string = fileURLToPath(new URL('../../../../guest/build.mjs', import.meta.url));

const HOW_TO_BUILD =
  'On Debian, `node guest/build.mjs` fetches a kernel package (linux-image-cloud-amd64) without installing it ' +
  'and compiles the workload (needs gcc and libc6-dev).';

/** The folder of the guest's files: PTMON_GUEST_DIR, else `ptmon/guest` in the user's cache folder. */
export function guestDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const chosen = env['PTMON_GUEST_DIR'] ?? '';
  if (chosen !== '') return chosen;
  const cache = env['XDG_CACHE_HOME'] ?? '';
  return join(cache === '' ? join(homedir(), '.cache') : cache, 'ptmon', 'guest');
}

function readable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** @throws PtmonError `source-unavailable` for what cannot be read, or is no file */
function checkFile(path: string): void {
  try {
    accessSync(path, constants.R_OK);
  } catch (error) {
    throw openError(path, error);
  }
  if (!statSync(path).isFile()) throw notAFile(path);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** `6.12.9` is newer than `6.1.56`: the numbers in two names, compared in order. */
function compareReleases(a: string, b: string): number {
  const [left, right] = [a, b].map((release) => (release.match(/\d+/g) ?? []).map(Number)) as [number[], number[]];
  for (const [index, number] of left.entries()) {
    const difference = number - (right[index] ?? -1);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/** The setup header of a kernel's image (kernel documentation, arch/x86/boot): its magic, the version, and `xloadflags`. */
const HEADER_MAGIC_AT = 0x202;
const HEADER_VERSION_AT = 0x206;
const LOAD_FLAGS_AT = 0x236;
/** The version since which there are load flags (Linux 3.8), and the one that says that the kernel is 64-bit (XLF_KERNEL_64). */
const FLAGS_VERSION = 0x20c;
const KERNEL_64 = 1;

/** 64 for an image that does not say, as those before Linux 3.8. */
function bitsOf(path: string): 32 | 64 {
  const header = Buffer.alloc(LOAD_FLAGS_AT + 2);
  const file = openSync(path, 'r');
  try {
    readSync(file, header, 0, header.length, 0);
  } finally {
    closeSync(file);
  }
  const hasFlags =
    header.toString('latin1', HEADER_MAGIC_AT, HEADER_VERSION_AT) === 'HdrS' &&
    header.readUInt16LE(HEADER_VERSION_AT) >= FLAGS_VERSION;
  return hasFlags && (header.readUInt16LE(LOAD_FLAGS_AT) & KERNEL_64) === 0 ? 32 : 64;
}

/** 64-bit kernels first, of them the small cloud kernel, then the newest. */
function byPreference(a: GuestKernel, b: GuestKernel): number {
  const cloud = (kernel: GuestKernel): number => Number(kernel.release.includes('cloud'));
  return b.bits - a.bits || cloud(b) - cloud(a) || compareReleases(b.release, a.release);
}

function fetchedKernels(directory: string): GuestKernel[] {
  const folder = join(directory, 'kernels');
  return namesIn(folder).flatMap((release) => {
    const path = join(folder, release, 'vmlinuz');
    if (!readable(path)) return [];
    const modulesFolder = join(folder, release, 'modules');
    const modules = namesIn(modulesFolder)
      .sort()
      .map((name) => join(modulesFolder, name));
    const types = join(folder, release, 'types.btf');
    return [{ path, release, modules, bits: bitsOf(path), ...(readable(types) && { types }) }];
  });
}

/** The host's own kernels, where its users may read them. Their modules stay out: packed and placed in many ways. */
function hostKernels(folder: string): GuestKernel[] {
  return namesIn(folder).flatMap((name) => {
    const release = /^vmlinuz-(.+)$/.exec(name)?.[1];
    const path = join(folder, name);
    return release !== undefined && readable(path) ? [{ path, release, modules: [], bits: bitsOf(path) }] : [];
  });
}

/** Every kernel at hand, the preferred first: those that the build script has fetched, then the host's own in `/boot`. */
export function findKernels(directory: string = guestDirectory(), boot = '/boot'): readonly GuestKernel[] {
  return [...fetchedKernels(directory).sort(byPreference), ...hostKernels(boot).sort(byPreference)];
}

/**
 * The kernel at `path`, or the preferred of those at hand.
 *
 * @throws PtmonError `source-unavailable` where there is none; without a path the message says how to get one
 */
export function chooseKernel(path?: string, directory: string = guestDirectory(), boot = '/boot'): GuestKernel {
  const kernels = findKernels(directory, boot);
  if (path === undefined) {
    const [first] = kernels;
    if (first !== undefined) return first;
    throw new PtmonError('source-unavailable', `no kernel for a guest in ${directory} or ${boot}. ${HOW_TO_BUILD}`);
  }
  const known = kernels.find((kernel) => kernel.path === path);
  if (known !== undefined) return known;
  checkFile(path);
  return { path, release: /vmlinuz-([^/]+)$/.exec(path)?.[1] ?? 'unknown', modules: [], bits: bitsOf(path) };
}

/**
 * The guest's programs.
 *
 * @throws PtmonError `source-unavailable` where the workload is not built; the message says how to build it
 */
export function findPrograms(directory: string = guestDirectory(), bits: 32 | 64 = 64): GuestPrograms {
  const suffix = bits === 32 ? '-i386' : '';
  const workload = join(directory, `workload${suffix}`);
  if (!readable(workload)) {
    throw new PtmonError(
      'source-unavailable',
      `the guest's workload (${workload}) is missing. ${HOW_TO_BUILD}${bits === 32 ? ' For a 32-bit guest, add --kernel linux-image-686-pae.' : ''}`,
    );
  }
  const busybox = join(directory, `busybox${suffix}`);
  const list = join(directory, 'busybox.list');
  if (!readable(busybox) || !readable(list)) return { workload };
  const applets = readFileSync(list, 'utf8').split('\n').filter(Boolean);
  return { workload, busybox: { path: busybox, applets } };
}
