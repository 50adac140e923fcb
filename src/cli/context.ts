/** What every command is given. */
import type { Vm } from '../guest/discovery/list-vms.ts';
import type { TextOutput } from '../sinks/text-output.ts';

export interface Streams {
  /** Data, and nothing else. */
  readonly output: TextOutput;
  /** Everything else. */
  readonly messages: TextOutput;
}

export interface CommandContext extends Streams {
  /** What `-` stands for. Opened only when it is called. */
  readonly input: () => AsyncIterable<unknown>;
  /** Lists the VMs to choose from; defaults to those of this host. */
  readonly vms?: () => readonly Vm[];
  /** Sets the exit code of a run that does not throw. */
  readonly exit: (code: number) => void;
}
