/**
 * The commands, in the order of `ptmon --help`. That text needs names and summaries alone: the options of the commands are loaded when one
 * is called, and its work when it runs.
 */
import type { Command } from 'commander';
import type { CommandContext, CommandEntry, CommandName } from '../context.ts';

export const COMMANDS: readonly CommandEntry[] = [
  { name: 'demo', summary: 'show what processes of a recorded or simulated guest do with their memory' },
  { name: 'run', summary: 'boot a Linux guest in QEMU and watch it' },
  { name: 'vms', summary: 'list the VMs of this host, and how each can be watched' },
  { name: 'watch', summary: 'report the pages that a running guest gains and loses, by process or address' },
  { name: 'ps', summary: 'list the processes of a Linux guest' },
  { name: 'maps', summary: 'list the memory areas of a process of a Linux guest' },
  { name: 'read', summary: 'print memory of a process, an address space, or physical memory' },
  { name: 'search', summary: 'find a text or bytes in the memory of a guest' },
  { name: 'dump', summary: 'write the memory of a process to files' },
  { name: 'script', summary: 'run a script with a guest in scope' },
  { name: 'repl', summary: 'open a prompt with a guest in scope' },
  { name: 'replay', summary: 'replay the recorded events of a trace' },
  { name: 'export', summary: 'convert a trace to Perfetto, Chrome or CSV' },
  {
    name: 'stat',
    summary: 'summarize a trace: events by kind, process and entry; rates; most frequently changed addresses',
  },
  { name: 'translate', summary: 'explain level by level how virtual addresses translate' },
  { name: 'map', summary: 'list what an address space maps' },
  { name: 'diff', summary: 'compare two address spaces, or one at two times' },
  { name: 'top', summary: 'list the processes of a running guest by memory, and how they change' },
  { name: 'serve', summary: 'show address spaces in a browser: a live guest, a trace, a dump, or two dumps' },
  { name: 'agent', summary: 'watch the VMs of this host as a policy says, and keep their events' },
  { name: 'archive', summary: 'keep the events that agents send to a broker' },
  { name: 'report', summary: 'write a trace, a dump, or the change between two dumps as one HTML file' },
  { name: 'query', summary: 'query the events that were kept, with SQL or a built-in query' },
  { name: 'roots', summary: 'search physical memory for top-level page tables' },
  { name: 'doctor', summary: 'check what works for watching a VM, what is missing, and which QEMU option adds it' },
  { name: 'completion', summary: 'print the completion script of a shell' },
  { name: 'agent-worker', summary: 'watch one VM for an agent', isHidden: true },
  { name: 'complete', summary: 'list what may come next on a command line', isHidden: true },
  { name: 'manual', summary: 'write the manual pages into a folder', isHidden: true },
];

/** Commander's object for a command, with all that belongs to it. */
export async function defineCommand(name: CommandName, command: Command, context: CommandContext): Promise<Command> {
  const { DEFINITIONS } = await import('./definitions.ts');
  DEFINITIONS[name](command, context);
  return command;
}
