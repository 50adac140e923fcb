/** The command line: `ptmon COMMAND OPTIONS…`. */
import type { Writable } from 'node:stream';
import { Command, CommanderError } from 'commander';
import { PtmonError } from '../core/error.ts';
import { columnsOf } from '../sinks/colours.ts';
import { printable } from '../sinks/printable.ts';
import { TextOutput } from '../sinks/text-output.ts';
import { VERSION } from '../sinks/version.ts';
import { demoCommand } from './commands/demo/command.ts';
import { diffCommand } from './commands/diff/command.ts';
import { doctorCommand } from './commands/doctor/command.ts';
import { EXIT_OK, exitCodeOf } from './exit-codes.ts';
import { mapCommand } from './commands/map/command.ts';
import { exportCommand } from './commands/export/command.ts';
import { mapsCommand } from './commands/maps/command.ts';
import { psCommand } from './commands/ps/command.ts';
import { replayCommand } from './commands/replay/command.ts';
import { rootsCommand } from './commands/roots/command.ts';
import { runCommand } from './commands/run/command.ts';
import { statCommand } from './commands/stat/command.ts';
import { translateCommand } from './commands/translate/command.ts';
import { watchCommand } from './commands/watch/command.ts';

const ABOUT =
  'Tells, from outside a virtual machine, the moment a guest virtual address gains, loses or changes the physical memory behind it.';

const EXIT_CODES = `
Exit codes:
  0    done, or whoever read the output has gone
  1    failed in a way that is not named here; of diff: there are differences
  2    the command line is wrong
  3    the source cannot be reached, or was lost
  4    an input file is corrupt
  5    of map, diff: page tables are not in memory, or nothing at all is mapped
  130  interrupted (Ctrl-C); a second one ends at once
  143  ended by SIGTERM; 129 by SIGHUP, as when the terminal is gone
`;

export interface Streams {
  /** Data, and nothing else. */
  readonly stdout: Writable;
  /** Everything else. */
  readonly stderr: Writable;
  /** What a command reads that is told to; the process's own unless given. */
  readonly stdin?: AsyncIterable<unknown>;
}

/** Runs one command line. Answers the exit code; never throws. */
export async function runProgram(args: readonly string[], streams: Streams): Promise<number> {
  const { stdout, stderr } = streams;
  const output = new TextOutput(stdout);
  const messages = new TextOutput(stderr);
  const program = new Command('ptmon')
    .description(ABOUT)
    .version(VERSION, '-V, --version', 'print the version and exit')
    .helpOption('-h, --help', 'print this and exit')
    .addHelpText('after', EXIT_CODES)
    .configureOutput({
      writeOut: (text) => void output.write(text),
      writeErr: (text) => void messages.write(text),
      outputError: (text, write) => write(text.replace(/^error:/, 'ptmon:')),
      getOutHelpWidth: () => columnsOf(stdout),
      getErrHelpWidth: () => columnsOf(stderr),
    })
    .exitOverride();

  let exitCode: number = EXIT_OK;
  const exit = (code: number): void => {
    exitCode = code;
  };
  const commands = [
    demoCommand(output, exit),
    runCommand(output, messages, exit),
    watchCommand(output, messages, exit),
    psCommand(output, messages, exit),
    mapsCommand(output, messages, exit),
    replayCommand(output, exit),
    exportCommand(output, messages, exit),
    statCommand(output, exit),
    translateCommand({ output, messages, input: () => streams.stdin ?? process.stdin }, exit),
    mapCommand({ output, messages }, exit),
    diffCommand({ output, messages }, exit),
    rootsCommand({ output, messages }, exit),
    doctorCommand(output, exit),
  ];
  for (const command of commands) {
    program.addCommand(command.copyInheritedSettings(program));
  }
  for (const command of [program, ...program.commands]) command.showHelpAfterError(validWords(command));

  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    // Commander has said what is wrong with the command line.
    if (!(error instanceof CommanderError)) await messages.write(`ptmon: ${printableLines(messageOf(error))}\n`);
    return exitCodeOf(error);
  }
}

/** A message may have several lines, and words of a file or of a guest in them. */
function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** What a wrong command line could have said. */
function validWords(command: Command): string {
  const words = [...command.commands.map((each) => each.name()), ...command.options.map((option) => option.flags)];
  const name = command.parent === null ? command.name() : `${command.parent.name()} ${command.name()}`;
  return `${name} takes: ${words.join('  ')}\n(${name} --help says more)`;
}

/** A sentence for what a user can do something about; where the fault is ours, all there is to find it by. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isSystemError = 'code' in error && typeof error.code === 'string' && !error.code.startsWith('ERR_');
  return error instanceof PtmonError || isSystemError ? error.message : (error.stack ?? error.message);
}
