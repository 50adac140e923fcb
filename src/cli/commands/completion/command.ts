/** `ptmon completion`. */
import { Argument, type Command } from 'commander';
import { completionScript, type Shell, SHELLS } from '../../completion/scripts.ts';
import type { CommandContext } from '../../context.ts';
import { addHelp } from '../../options/help.ts';

const HELP = `
The shell then completes commands, options, names of VMs, the guest's process
IDs and process names, and trace files. Guests keep running while ptmon reads
their processes.

Examples:
  source <(ptmon completion bash)   for this shell; for all: add to ~/.bashrc
  source <(ptmon completion zsh)    add it to ~/.zshrc, after compinit
  ptmon completion fish | source    add it to ~/.config/fish/config.fish
`;

export function defineCompletion(command: Command, { output }: CommandContext): void {
  addHelp(command, HELP)
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .action(async (shell: Shell) => {
      await output.write(completionScript(shell));
    });
}
