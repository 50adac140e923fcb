/** `ptmon repl`. */
import type { Command } from 'commander';
import type { CommandContext } from '../../context.ts';
import { addHelp } from '../../options/help.ts';
import { addSocketOptions } from '../../options/source.ts';
import { guestOf, PROOF_HELP, type ScriptOptions } from '../script/command.ts';

const HELP = `
"guest" is in scope, and await works at the prompt. The guest runs while nothing
is asked of it. Ctrl-D releases the guest and ends.

Examples:
  ptmon repl
  > (await guest.processes()).map((each) => each.command)
  > const nginx = await guest.process('nginx')
  > (await nginx.maps()).areas.length
`;

export function defineRepl(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  addSocketOptions(command.usage('[options]'))
    .option('--file <path>', 'read a dump or a trace instead of a live guest')
    .option('--proof', PROOF_HELP)
    .action(async (options: ScriptOptions) => {
      const { runRepl } = await import('./run-repl.ts');
      await runRepl({ where: guestOf(options), proof: options.proof ?? false }, context);
    });
}
