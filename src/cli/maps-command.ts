/** `ptmon maps`. */
import { Command } from 'commander';
import type { TextOutput } from '../sinks/text-output.ts';
import { EXIT_OK } from './exit-codes.ts';
import { interruptible } from './interruptible.ts';
import { areaJson, areaTable } from './linux/maps-output.ts';
import { askLinux } from './linux/run-linux.ts';
import { addLiveOptions, type LiveOptions } from './linux/live-options.ts';
import { wholeNumber } from './option-values.ts';
import { openLiveSnapshot } from './snapshot/live-snapshot.ts';

const EXAMPLES = `
RESIDENT is what the page tables say, in KiB: what smaps calls Rss.

Examples:
  ptmon maps 1 --qmp /tmp/qmp --gdb /tmp/gdb
  ptmon maps 81 --json --qmp /tmp/qmp --gdb /tmp/gdb
`;

interface Options extends LiveOptions {
  readonly json?: boolean;
}

/** @param exit is told the exit code of a run that did not fail */
export function mapsCommand(output: TextOutput, messages: TextOutput, exit: (code: number) => void): Command {
  const command = new Command('maps')
    .description('list the memory of a process of a Linux guest')
    .argument('<pid>', 'its number, as the guest knows it (ptmon ps)', wholeNumber(0, 2 ** 22))
    .option('--json', 'print JSON lines, not text');
  return addLiveOptions(command)
    .addHelpText('after', EXAMPLES)
    .action(async (pid: number, options: Options) => {
      await interruptible(output, exit, async (signal) => {
        const open = () => openLiveSnapshot(options, signal);
        await askLinux(
          open,
          async (linux) => {
            const { areas, faults } = await linux.map(pid);
            const lines =
              options.json === true ? areas.map((area) => areaJson(pid, area)) : [`${areaTable(areas).join('\n')}\n`];
            return { text: lines.join(''), faults };
          },
          { output, messages },
          signal,
        );
        return EXIT_OK;
      });
    });
}
