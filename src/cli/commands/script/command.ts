/** `ptmon script`. */
import type { Command } from 'commander';
import { PtmonError } from '../../../core/error.ts';
import type { GuestFile, QemuSockets } from '../../../guest/index.ts';
import type { CommandContext } from '../../context.ts';
import { addHelp } from '../../options/help.ts';
import { addSocketOptions, type LiveOptions } from '../../options/source.ts';

const HELP = `
SCRIPT is a module, .mjs or .js; with Node 22.18 or newer also .ts. The guest is
in scope as "guest", the rest of the command line as "args". At the end of the
module, ptmon releases the guest and exits: a script that only sets handlers
must end with "await guest.run()", which lasts until the guest ends or Ctrl-C.
An error that the script throws ends it with exit code 1.

For an editor, the first line of a script can name the types:
  /// <reference types="ptmon/script" />

Examples:
  ptmon script examples/execve.mjs
  ptmon script examples/working-set.mjs --vm web -- nginx
  ptmon script who.mjs --file vm.core
`;

export const PROOF_HELP =
  'watch by samples, and mark intervals in which nothing was missed; needs root, Linux 6.7 on the host and a C compiler';

export interface ScriptOptions extends Pick<LiveOptions, 'qmp' | 'gdb'> {
  /** What to call the guest. */
  readonly vm?: string;
  readonly file?: string;
  /** As `AttachOptions`. */
  readonly proof?: boolean;
}

export function defineScript(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command
    .usage('[options] SCRIPT [-- ARGUMENTS]')
    .argument('<script>', 'path of the script')
    .argument('[args...]', 'arguments of the script');
  addSocketOptions(command)
    .option('--file <path>', 'read a dump or a trace instead of a live guest')
    .option('--proof', PROOF_HELP)
    .action(async (script: string, args: readonly string[], options: ScriptOptions) => {
      const { runScript } = await import('./run-script.ts');
      await runScript({ script, args, where: guestOf(options), proof: options.proof ?? false }, context);
    });
}

/** What `attach` takes. @throws PtmonError `bad-argument` without a guest, or with two */
export function guestOf({ file, qmp, gdb, vm }: ScriptOptions): QemuSockets | GuestFile {
  if (file !== undefined && (qmp ?? gdb) !== undefined)
    throw new PtmonError('bad-argument', '--file already names the guest: leave out --qmp and --gdb');
  if (file !== undefined) return { file };
  if (qmp === undefined) throw new PtmonError('bad-argument', 'no guest: give --vm, --qmp and --gdb, or --file');
  return { qmp, ...(gdb !== undefined && { gdb }), ...(vm !== undefined && { name: vm }) };
}
