/** `ptmon export`. */
import { Command, Option } from 'commander';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { EXIT_OK } from '../../exit-codes.ts';
import { EXPORT_FORMATS, type ExportOptions, runExport } from './run-export.ts';
import { interruptible } from '../../interruptible.ts';

const EXAMPLES = `
perfetto and chrome show a track for each watched page, below its process or
tag: what was behind it, and when; what caused it; pages in memory and events a
second. Open them at ui.perfetto.dev. csv is a line for each event.

Examples:
  ptmon export guest.trace --format perfetto --output guest.pftrace
  ptmon export guest.trace --format csv | head
`;

/** @param exit is told the exit code of a run that did not fail */
export function exportCommand(output: TextOutput, messages: TextOutput, exit: (code: number) => void): Command {
  return new Command('export')
    .description('write a trace in a format that other programs show')
    .argument('<file>', 'the trace')
    .addOption(new Option('--format <format>', 'whose').choices(EXPORT_FORMATS).makeOptionMandatory())
    .option('--output <file>', 'where to; standard output unless told')
    .addHelpText('after', EXAMPLES)
    .action(async (file: string, options: ExportOptions) => {
      await interruptible(output, exit, async (signal) => {
        await runExport(file, options, { output, messages }, signal);
        return EXIT_OK;
      });
    });
}
