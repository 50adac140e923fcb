/** Where the parts of a guest lie: kernels, their modules, the workload and the shell, as `guest/build.mjs` leaves them. */
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PtmonError } from '../../../core/error.ts';

/** A kernel that a guest can boot. */
export interface GuestKernel {
  /** The compressed image, as QEMU's `-kernel` takes it. */
  readonly path: string;
  /** What `uname -r` says: `6.1.0-56-cloud-amd64`. */
  readonly release: string;
  /** Files of the modules that swap needs, in the order to load them; none where they are not at hand. */
  readonly modules: readonly string[];
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

/** The small cloud kernel first, then the newest. */
function byPreference(a: GuestKernel, b: GuestKernel): number {
  const cloud = (kernel: GuestKernel): number => Number(kernel.release.includes('cloud'));
  return cloud(b) - cloud(a) || compareReleases(b.release, a.release);
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
    return [{ path, release, modules }];
  });
}

/** The host's own kernels, where its users may read them. Their modules stay out: packed and placed in many ways. */
function hostKernels(folder: string): GuestKernel[] {
  return namesIn(folder).flatMap((name) => {
    const release = /^vmlinuz-(.+)$/.exec(name)?.[1];
    const path = join(folder, name);
    return release !== undefined && readable(path) ? [{ path, release, modules: [] }] : [];
  });
}

/** Every kernel at hand, the preferred first: those that the build script has fetched, then the host's own in `/boot`. */
export function findKernels(directory: string = guestDirectory(), boot = '/boot'): readonly GuestKernel[] {
  return [...fetchedKernels(directory).sort(byPreference), ...hostKernels(boot).sort(byPreference)];
}

/**
 * The kernel at `path`, or the preferred of those at hand.
 *
 * @throws PtmonError `source-unavailable` where there is none; the message says how to get one
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
  if (!readable(path)) throw new PtmonError('source-unavailable', `the kernel ${path} cannot be read. ${HOW_TO_BUILD}`);
  return { path, release: /vmlinuz-([^/]+)$/.exec(path)?.[1] ?? 'unknown', modules: [] };
}

/**
 * The guest's programs.
 *
 * @throws PtmonError `source-unavailable` where the workload is not built; the message says how to build it
 */
export function findPrograms(directory: string = guestDirectory()): GuestPrograms {
  const workload = join(directory, 'workload');
  if (!readable(workload)) {
    throw new PtmonError('source-unavailable', `the guest's workload is not in ${directory}. ${HOW_TO_BUILD}`);
  }
  const busybox = join(directory, 'busybox');
  const list = join(directory, 'busybox.list');
  if (!readable(busybox) || !readable(list)) return { workload };
  const applets = readFileSync(list, 'utf8').split('\n').filter(Boolean);
  return { workload, busybox: { path: busybox, applets } };
}
