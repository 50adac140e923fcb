/** `ptmon ps`. */
import { Command } from 'commander';
import type { TextOutput } from '../sinks/text-output.ts';
import { EXIT_OK } from './exit-codes.ts';
import { interruptible } from './interruptible.ts';
import { processJson, processTable } from './linux/ps-output.ts';
import { askLinux } from './linux/run-linux.ts';
import { addLiveOptions, type LiveOptions } from './linux/live-options.ts';
import { openLiveSnapshot } from './snapshot/live-snapshot.ts';

const EXAMPLES = `
Nothing is needed in the guest, nor its symbols: the kernel is found by its page
tables, and says itself how it is laid out (BTF, CONFIG_DEBUG_INFO_BTF).

Examples:
  ptmon ps --qmp /tmp/qmp --gdb /tmp/gdb
  ptmon ps --json --qmp /tmp/qmp --gdb /tmp/gdb | jq -r 'select(.command == "nginx").roots[0]'
`;

interface Options extends LiveOptions {
  readonly json?: boolean;
}

/** @param exit is told the exit code of a run that did not fail */
export function psCommand(output: TextOutput, messages: TextOutput, exit: (code: number) => void): Command {
  const command = new Command('ps').description('list the processes of a Linux guest').option('--json', 'print JSON lines, not text');
  return addLiveOptions(command)
    .addHelpText('after', EXAMPLES)
    .action(async (options: Options) => {
      await interruptible(output, exit, async (signal) => {
        const open = () => openLiveSnapshot(options, signal);
        await askLinux(
          open,
          async (linux) => {
            const { processes, faults } = await linux.processes();
            const lines = options.json === true ? processes.map(processJson) : [`${processTable(processes).join('\n')}\n`];
            return { text: lines.join(''), faults };
          },
          { output, messages },
          signal,
        );
        return EXIT_OK;
      });
    });
}
