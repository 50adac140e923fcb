/** What a command is, and what it is given. */
import type { Command } from 'commander';
import type { Vm } from '../guest/discovery/list-vms.ts';
import type { TextOutput } from '../sinks/text-output.ts';

export interface Streams {
  /** Data, and nothing else. */
  readonly output: TextOutput;
  /** Everything else. */
  readonly messages: TextOutput;
}

export type CommandName =
  | 'demo'
  | 'run'
  | 'vms'
  | 'watch'
  | 'ps'
  | 'maps'
  | 'read'
  | 'search'
  | 'dump'
  | 'script'
  | 'repl'
  | 'replay'
  | 'export'
  | 'stat'
  | 'translate'
  | 'map'
  | 'diff'
  | 'top'
  | 'serve'
  | 'agent'
  | 'archive'
  | 'agent-worker'
  | 'query'
  | 'report'
  | 'roots'
  | 'doctor'
  | 'completion'
  | 'complete'
  | 'manual';

/** Adds arguments, options and the action to a command that has its name and description. */
export type Definition = (command: Command, context: CommandContext) => void;

export interface CommandEntry {
  readonly name: CommandName;
  readonly summary: string;
  /** Not in the help: for scripts of ptmon itself. */
  readonly isHidden?: boolean;
}

export interface CommandContext extends Streams {
  /** All commands: completion and manual pages describe them. */
  readonly commands: readonly CommandEntry[];
  /** Gives commander's object for a command all that belongs to it. */
  readonly defineCommand: (name: CommandName, command: Command) => Promise<Command>;
  /** What `-` stands for. Opened only when it is called. */
  readonly input: () => AsyncIterable<unknown>;
  /** Lists the VMs to choose from; defaults to those of this host. */
  readonly vms?: () => readonly Vm[];
  /** Sets the exit code of a run that does not throw. */
  readonly exit: (code: number) => void;
}
