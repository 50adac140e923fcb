/**
 * The commands, in the order of `ptmon --help`. That text needs names and summaries alone: the rest of a command is loaded when it is
 * called.
 */
import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';

export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Not in the help: for scripts of ptmon itself. */
  readonly isHidden?: boolean;
  /** Adds arguments, options and the action to a command that has its name and description. */
  readonly load: () => Promise<(command: Command, context: CommandContext) => void>;
}

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'demo',
    summary: 'show what processes of a recorded or simulated guest do with their memory',
    load: async () => (await import('./demo/command.ts')).defineDemo,
  },
  {
    name: 'run',
    summary: 'boot a Linux guest in QEMU and watch it',
    load: async () => (await import('./run/command.ts')).defineRun,
  },
  {
    name: 'vms',
    summary: 'list the VMs of this host, and how each can be watched',
    load: async () => (await import('./vms/command.ts')).defineVms,
  },
  {
    name: 'watch',
    summary: 'report which pages processes or addresses of a running guest gain and lose',
    load: async () => (await import('./watch/command.ts')).defineWatch,
  },
  {
    name: 'ps',
    summary: 'list the processes of a Linux guest',
    load: async () => (await import('./ps/command.ts')).definePs,
  },
  {
    name: 'maps',
    summary: 'list the memory areas of a process of a Linux guest',
    load: async () => (await import('./maps/command.ts')).defineMaps,
  },
  {
    name: 'read',
    summary: 'print memory of a process, an address space, or physical memory',
    load: async () => (await import('./read/command.ts')).defineRead,
  },
  {
    name: 'search',
    summary: 'find a text or bytes in the memory of a guest',
    load: async () => (await import('./search/command.ts')).defineSearch,
  },
  {
    name: 'dump',
    summary: 'write the memory of a process to files',
    load: async () => (await import('./dump/command.ts')).defineDump,
  },
  {
    name: 'script',
    summary: 'run a script with a guest in scope',
    load: async () => (await import('./script/command.ts')).defineScript,
  },
  {
    name: 'repl',
    summary: 'open a prompt with a guest in scope',
    load: async () => (await import('./repl/command.ts')).defineRepl,
  },
  {
    name: 'replay',
    summary: 'replay the recorded events of a trace',
    load: async () => (await import('./replay/command.ts')).defineReplay,
  },
  {
    name: 'export',
    summary: 'convert a trace to Perfetto, Chrome or CSV',
    load: async () => (await import('./export/command.ts')).defineExport,
  },
  {
    name: 'stat',
    summary: 'summarize a trace: events by kind, process and entry; rates; most frequently changed addresses',
    load: async () => (await import('./stat/command.ts')).defineStat,
  },
  {
    name: 'translate',
    summary: 'explain level by level how virtual addresses translate',
    load: async () => (await import('./translate/command.ts')).defineTranslate,
  },
  {
    name: 'map',
    summary: 'list what an address space maps',
    load: async () => (await import('./map/command.ts')).defineMap,
  },
  {
    name: 'diff',
    summary: 'compare two address spaces, or one at two times',
    load: async () => (await import('./diff/command.ts')).defineDiff,
  },
  {
    name: 'roots',
    summary: 'search physical memory for top-level page tables',
    load: async () => (await import('./roots/command.ts')).defineRoots,
  },
  {
    name: 'doctor',
    summary: 'check what works for watching a VM, what is missing, and which QEMU option adds it',
    load: async () => (await import('./doctor/command.ts')).defineDoctor,
  },
  {
    name: 'completion',
    summary: 'print the completion script of a shell',
    load: async () => (await import('./completion/command.ts')).defineCompletion,
  },
  {
    name: 'complete',
    summary: 'list what may come next on a command line',
    isHidden: true,
    load: async () => (await import('./complete/command.ts')).defineComplete,
  },
  {
    name: 'manual',
    summary: 'write the manual pages into a folder',
    isHidden: true,
    load: async () => (await import('./manual/command.ts')).defineManual,
  },
];
