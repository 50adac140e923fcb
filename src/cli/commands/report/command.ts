/** `ptmon report`. */
import { type Command, Option } from 'commander';
import type { CommandContext } from '../../context.ts';
import { rootOption } from '../../options/address.ts';
import { addHelp } from '../../options/help.ts';
import { addProcessOptions } from '../../options/source.ts';
import { EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';
import type { ReportOptions } from './run-report.ts';

const HELP = `
Writes one HTML file of less than 2 MB with the picture that ptmon serve shows:
a trace to play or to move through by hand, a dump, what changed between two
dumps, or the last session of a VM in an archive. It opens in any browser
without a network, so that you can attach it to a bug report. If a long trace
does not fit, the report says what was left out.

Examples:
  ptmon report guest.trace -o report.html
  ptmon report vm.core --comm nginx -o nginx.html
  ptmon report before.core after.core -o changes.html
`;

export function defineReport(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command
    .argument('<source>', 'path of a trace, a dump or an archive')
    .argument('[after]', 'a second dump, to compare with the first')
    .requiredOption('-o, --output <file>', 'the HTML file; - for standard output')
    .option('--force', 'overwrite a file that is not a report')
    .option('--of <vm>', 'for an archive: the VM, as VM or HOST/VM; defaults to the only one')
    .addOption(new Option('--root <cr3>', 'for a dump: show only this address space: 0x…').argParser(rootOption));
  addProcessOptions(command).action(async (source: string, after: string | undefined, options: ReportOptions) => {
    await interruptible(context, async (signal) => {
      const { runReport } = await import('./run-report.ts');
      await runReport(after === undefined ? [source] : [source, after], options, context, signal);
      return EXIT_OK;
    });
  });
}
