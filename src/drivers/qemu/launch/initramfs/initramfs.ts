/** The guest's only file system: the workload as first process, the modules, and a shell where there is one. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { gzipSync } from 'node:zlib';
import { PtmonError } from '../../../../core/error.ts';
import { type CpioEntry, cpioArchive } from './cpio.ts';
import type { GuestPrograms } from '../guest-files.ts';

function program(path: string, from: string): CpioEntry {
  return { kind: 'file', path, mode: 0o755, content: readFileSync(from) };
}

function folder(path: string): CpioEntry {
  return { kind: 'folder', path, mode: 0o755 };
}

/** Further programs and the folders around them. @param files paths in the guest, with the files of this host */
function furtherEntries(files: Readonly<Record<string, string>>): CpioEntry[] {
  const entries = new Map<string, CpioEntry>();
  for (const [path, from] of Object.entries(files)) {
    const names = path.split('/').filter((name) => name !== '');
    for (let count = 1; count < names.length; count++) {
      const parent = names.slice(0, count).join('/');
      entries.set(parent, folder(parent));
    }
    entries.set(names.join('/'), program(names.join('/'), from));
  }
  return [...entries.values()];
}

/** The files of the archive. `modules` are loaded in the order in which they are given. */
export function initramfsEntries(
  programs: GuestPrograms,
  modules: readonly string[],
  files: Readonly<Record<string, string>> = {},
): readonly CpioEntry[] {
  const { workload, busybox } = programs;
  const shell: CpioEntry[] = [];
  if (busybox !== undefined) {
    shell.push(program('bin/busybox', busybox.path));
    for (const applet of busybox.applets) {
      if (applet !== 'busybox') shell.push({ kind: 'link', path: `bin/${applet}`, target: 'busybox' });
    }
  }
  return [
    ...['bin', 'dev', 'modules', 'run'].map(folder),
    // The kernel opens it for the first process before anything is mounted.
    { kind: 'character-device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    program('init', workload),
    { kind: 'link', path: 'bin/workload', target: '/init' },
    ...shell,
    // The first process loads them in the order of their names.
    ...modules.map((path, index) =>
      program(`modules/${String(index).padStart(2, '0')}-${basename(path).replace(/^\d+-/, '')}`, path),
    ),
    ...furtherEntries(files),
  ];
}

/**
 * The compressed archive, as QEMU's `-initrd` takes it.
 *
 * @throws PtmonError `source-unavailable` where a file cannot be read
 */
export function buildInitramfs(
  programs: GuestPrograms,
  modules: readonly string[],
  files: Readonly<Record<string, string>> = {},
): Uint8Array {
  let entries: readonly CpioEntry[];
  try {
    entries = initramfsEntries(programs, modules, files);
  } catch (cause) {
    throw new PtmonError('source-unavailable', `a file of the guest cannot be read: ${String(cause)}`, {}, { cause });
  }
  return gzipSync(cpioArchive(entries), { level: 3 });
}
