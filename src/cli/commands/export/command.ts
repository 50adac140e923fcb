/** `ptmon export`. */
import { type Command, Option } from 'commander';
import type { CommandContext } from '../../context.ts';
import { EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';
import type { ExportOptions } from './run-export.ts';
import { addHelp } from '../../options/help.ts';

const FORMATS = ['perfetto', 'chrome', 'csv'] as const satisfies readonly ExportOptions['format'][];

const HELP = `
perfetto and chrome are timelines, to open at ui.perfetto.dev. Each watched page
has a track, below its process or tag. The track shows which physical page was
behind it at each time, and which page-table entries changed. Other tracks count
the pages in memory and the events per second. csv has a line for each event.

Examples:
  ptmon export guest.trace --format perfetto --output guest.pftrace
  ptmon export guest.trace --format csv | head
`;

export function defineExport(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command
    .argument('<file>', 'the trace')
    .addOption(new Option('--format <format>', 'output format').choices(FORMATS).makeOptionMandatory())
    .option('--output <file>', 'output file; defaults to standard output')
    .action(async (file: string, options: ExportOptions) => {
      await interruptible(context, async (signal) => {
        const { runExport } = await import('./run-export.ts');
        await runExport(file, options, context, signal);
        return EXIT_OK;
      });
    });
}
