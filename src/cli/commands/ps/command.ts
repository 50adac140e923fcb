/** `ptmon ps`. */
import { Command } from 'commander';
import { PtmonError } from '../../../core/error.ts';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { processJson, processTable } from './ps-output.ts';
import { askLinux } from '../../linux/run-linux.ts';
import { takeSource } from '../../snapshot/open-snapshot.ts';
import {
  addSourceOptions,
  addSpaceOptions,
  SOURCE_HELP,
  type SourceAndSpaceOptions,
} from '../../snapshot/source-options.ts';

const HELP = `
${SOURCE_HELP}

Nothing is needed in the guest, nor its symbols: the kernel is found by its page
tables, and says itself how it is laid out (BTF, CONFIG_DEBUG_INFO_BTF).

Examples:
  ptmon ps vm.core
  ptmon ps --qmp /tmp/qmp --gdb /tmp/gdb
  ptmon ps --json --qmp /tmp/qmp --gdb /tmp/gdb | jq -r 'select(.command == "nginx").roots[0]'
`;

interface Options extends SourceAndSpaceOptions {
  readonly json?: boolean;
}

/** @param exit is told the exit code of a run that did not fail */
export function psCommand(output: TextOutput, messages: TextOutput, exit: (code: number) => void): Command {
  const command = new Command('ps')
    .description('list the processes of a Linux guest')
    .usage('[options] SOURCE\n       ptmon ps [options] --qmp SOCKET --gdb SOCKET')
    .argument('[source]', 'the source, unless it is live')
    .option('--json', 'print JSON lines, not text');
  return addSpaceOptions(addSourceOptions(command))
    .addHelpText('after', HELP)
    .action(async (word: string | undefined, options: Options) => {
      const { source, rest } = takeSource(word === undefined ? [] : [word], options);
      if (rest.length > 0) throw new PtmonError('bad-argument', `what is "${rest[0]}"? A live guest takes no SOURCE`);
      await askLinux(source, options, { output, messages }, exit, async (linux) => {
        const { processes, faults } = await linux.processes();
        const lines = options.json ? processes.map(processJson) : [`${processTable(processes).join('\n')}\n`];
        return { text: lines.join(''), faults };
      });
    });
}
