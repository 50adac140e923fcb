/** The VMs of this host: every QEMU process that /proc shows, and what its command line says of it. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, isAbsolute, join, resolve } from 'node:path';
import { readQemuCommandLine } from './qemu-command-line.ts';

/** How a VM can be watched, best first. */
export type WatchMode = 'exact' | 'exact, four entries' | 'sampled';

export interface Vm {
  /** QEMU's process on this host. */
  readonly pid: number;
  /** What `-name` says; `qemu-PID` where it says nothing. */
  readonly name: string;
  /** The address of a QMP socket, as `--qmp` takes it; undefined where QEMU has none. */
  readonly qmp: string | undefined;
  /** The address of the gdbstub, as `--gdb` takes it; undefined where it is off. */
  readonly gdb: string | undefined;
  /** `tcg`, `kvm`, … */
  readonly accelerator: string;
  /** What `-m` says. */
  readonly memoryBytes: number;
  /** Whether its RAM is shared memory that another process can map. */
  readonly sharesMemory: boolean;
  /** The ways to watch it, best first. */
  readonly modes: readonly WatchMode[];
  /** What to add to QEMU's command line for more; empty where nothing is missing. */
  readonly missing: readonly string[];
}

/** A program is a QEMU that runs a whole machine by its name. */
const IS_QEMU = /^(?:qemu-system-(?:x86_64|i386)|qemu-kvm|kvm)(?:-\w+)*$/;

/** @param proc where proc(5) is mounted */
export function listVms(proc = '/proc'): readonly Vm[] {
  // Only Linux has it.
  if (!existsSync(proc)) return [];
  return readdirSync(proc)
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .sort((a, b) => a - b)
    .flatMap((pid) => vmOf(proc, pid) ?? []);
}

/** Undefined for a process that is no QEMU, or has ended meanwhile. */
function vmOf(proc: string, pid: number): Vm | undefined {
  const folder = join(proc, String(pid));
  const [program = '', ...args] = argumentsOf(folder);
  if (!IS_QEMU.test(basename(program))) return undefined;
  const { name, qmp, gdb, accelerator, memoryBytes, sharesMemory } = readQemuCommandLine(args);
  const seen = (address: string | undefined) => address && addressFromHere(address, folder, proc);
  const sockets = { qmp: seen(qmp[0]), gdb: seen(gdb) };
  return {
    pid,
    name: name ?? `qemu-${pid}`,
    ...sockets,
    accelerator,
    memoryBytes,
    sharesMemory,
    modes: modesOf(sockets, accelerator),
    missing: missingOf(sockets, sharesMemory),
  };
}

function argumentsOf(folder: string): readonly string[] {
  try {
    const text = readFileSync(join(folder, 'cmdline'), 'utf8');
    return text === '' ? [] : text.replace(/\0$/, '').split('\0');
  } catch {
    return [];
  }
}

/** QEMU's paths are relative to its working folder, and to its root where that is not ours (a container). */
function addressFromHere(address: string, folder: string, proc: string): string {
  if (!address.startsWith('unix:')) return address;
  const path = address.slice('unix:'.length);
  const absolute = isAbsolute(path) ? path : resolve(linkAt(join(folder, 'cwd')) ?? '/', path);
  const isElsewhere = mountsOf(folder) !== undefined && mountsOf(folder) !== mountsOf(join(proc, 'self'));
  return `unix:${isElsewhere ? join(folder, 'root', absolute) : absolute}`;
}

function mountsOf(folder: string): string | undefined {
  return linkAt(join(folder, 'ns/mnt'));
}

function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function modesOf({ qmp, gdb }: Pick<Vm, 'qmp' | 'gdb'>, accelerator: string): WatchMode[] {
  if (qmp === undefined) return [];
  if (gdb === undefined) return ['sampled'];
  return [accelerator === 'tcg' ? 'exact' : 'exact, four entries', 'sampled'];
}

function missingOf({ qmp, gdb }: Pick<Vm, 'qmp' | 'gdb'>, sharesMemory: boolean): string[] {
  return [
    ...(qmp === undefined ? ['-qmp unix:PATH,server=on,wait=off'] : []),
    ...(gdb === undefined ? ['-gdb unix:PATH,server=on,wait=off'] : []),
    ...(sharesMemory ? [] : ['-object memory-backend-memfd,id=mem,size=SIZE,share=on -machine memory-backend=mem']),
  ];
}
