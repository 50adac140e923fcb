/** The command line: `ptmon COMMAND OPTIONS…`. */
import type { Writable } from 'node:stream';
import { Command, CommanderError } from 'commander';
import { PtmonError } from '../core/error.ts';
import { columnsOf } from '../sinks/columns.ts';
import { TextOutput } from '../sinks/text-output.ts';
import { VERSION } from '../sinks/version.ts';
import { ABOUT, EXIT_CODES } from './about.ts';
import { COMMANDS, defineCommand } from './commands/index.ts';
import type { CommandContext } from './context.ts';
import type { Vm } from '../guest/discovery/list-vms.ts';
import { resolveVm } from './options/vm.ts';
import { EXIT_OK, exitCodeOf } from './exit/exit-codes.ts';
import { usageError } from './usage-error.ts';
import { printStatus } from './output/status-lines.ts';

export interface ProcessStreams {
  /** Data, and nothing else. */
  readonly stdout: Writable;
  /** Everything else. */
  readonly stderr: Writable;
  /** What `-` reads; defaults to that of the process. */
  readonly stdin?: AsyncIterable<unknown>;
  /** Lists the VMs that --vm chooses from; defaults to those of this host. */
  readonly vms?: () => readonly Vm[];
}

/** Runs one command line and returns the exit code. Never throws. */
export async function runProgram(args: readonly string[], streams: ProcessStreams): Promise<number> {
  let exitCode: number = EXIT_OK;
  let misuse = '';
  const messages = new TextOutput(streams.stderr);
  const context: CommandContext = {
    commands: COMMANDS,
    defineCommand: (name, command) => defineCommand(name, command, context),
    output: new TextOutput(streams.stdout),
    messages,
    input: () => streams.stdin ?? process.stdin,
    ...(streams.vms !== undefined && { vms: streams.vms }),
    exit: (code) => {
      exitCode = code;
    },
  };
  try {
    const program = await buildProgram(context, commandName(args), (text) => (misuse += text));
    program.hook('preAction', async (_program, command) => {
      if (command.options.some(({ long }) => long === '--vm')) resolveVm(command, streams.vms);
    });
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    // Of a wrong command line, commander has said what is wrong; of --help, nothing is.
    await printStatus(messages, error instanceof CommanderError ? misuse : `ptmon: ${messageOf(error)}`);
    return exitCodeOf(error);
  }
}

/** Every command by name and summary; `wanted` with all that belongs to it. */
async function buildProgram(
  context: CommandContext,
  wanted: string | undefined,
  onMisuse: (message: string) => void,
): Promise<Command> {
  const { output, messages } = context;
  const program = new Command('ptmon')
    .description(ABOUT)
    .version(VERSION, '-V, --version', 'print the version and exit')
    .helpOption('-h, --help', 'print this help and exit')
    .helpCommand('help [command]', 'print the help of a command')
    .addHelpText('after', EXIT_CODES)
    .configureOutput({
      writeOut: (text) => void output.write(text),
      writeErr: (text) => void messages.write(text),
      getOutHelpWidth: () => columnsOf(output.stream),
      getErrHelpWidth: () => columnsOf(messages.stream),
    })
    .exitOverride();
  for (const { name, summary, isHidden } of COMMANDS) {
    const command = program.command(name, { hidden: isHidden === true }).description(summary);
    if (name === wanted) await defineCommand(name, command, context);
  }
  for (const command of [program, ...program.commands]) {
    const name = command === program ? 'ptmon' : `ptmon ${command.name()}`;
    command.configureOutput({ outputError: (text) => onMisuse(usageError(text, name)) });
  }
  return program;
}

/** The command that a command line calls, or asks the help of. The program's own options take no values. */
function commandName(args: readonly string[]): string | undefined {
  const [first, second] = args.filter((word) => !word.startsWith('-'));
  return first === 'help' ? second : first;
}

/** One sentence for what the user can act on; the whole stack for a fault of ptmon itself. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isSystemError = 'code' in error && typeof error.code === 'string' && !error.code.startsWith('ERR_');
  return error instanceof PtmonError || isSystemError ? error.message : (error.stack ?? error.message);
}
