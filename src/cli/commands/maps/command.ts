/** `ptmon maps`. */
import { Command } from 'commander';
import { PtmonError } from '../../../core/error.ts';
import type { Process } from '../../../linux/index.ts';
import { printable } from '../../../sinks/printable.ts';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { areaJson, areaTable } from './maps-output.ts';
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

RESIDENT is what the page tables say, in KiB: what smaps calls Rss.

Examples:
  ptmon maps vm.core 1
  ptmon maps 1 --qmp /tmp/qmp --gdb /tmp/gdb
  ptmon maps 81 --json --qmp /tmp/qmp --gdb /tmp/gdb
`;

interface Options extends SourceAndSpaceOptions {
  readonly json?: boolean;
}

/** @param exit is told the exit code of a run that did not fail */
export function mapsCommand(output: TextOutput, messages: TextOutput, exit: (code: number) => void): Command {
  const command = new Command('maps')
    .description('list the memory of a process of a Linux guest')
    .usage('[options] SOURCE PID\n       ptmon maps [options] PID --qmp SOCKET --gdb SOCKET')
    .argument('<words...>', 'the source, unless it is live, then the number of the process (ptmon ps)')
    .option('--json', 'print JSON lines, not text');
  return addSpaceOptions(addSourceOptions(command))
    .addHelpText('after', HELP)
    .action(async (words: readonly string[], options: Options) => {
      const { source, rest } = takeSource(words, options);
      const pid = processNumber(rest);
      await askLinux(source, options, { output, messages }, exit, async (linux) => {
        const { process, areas, faults } = await linux.map(pid);
        const isEmpty = process.mm === null;
        const lines = options.json
          ? areas.map((area) => areaJson(pid, area))
          : [`${isEmpty ? whyNothing(process) : areaTable(areas).join('\n')}\n`];
        return { text: lines.join(''), faults };
      });
    });
}

/** PID_MAX_LIMIT is 2^22. */
function processNumber(words: readonly string[]): number {
  const [word, ...more] = words;
  if (word === undefined)
    throw new PtmonError('bad-argument', 'of which process? Give its number (ptmon ps lists them)');
  if (more.length > 0 || !/^\d{1,7}$/.test(word)) {
    throw new PtmonError('bad-argument', `"${words.join(' ')}" is not the number of a process`);
  }
  return Number(word);
}

function whyNothing({ pid, command, isKernelThread }: Process): string {
  const why = isKernelThread ? 'is a kernel thread: it has no memory of its own' : 'has ended: its memory is gone';
  return `process ${pid} (${printable(command)}) ${why}`;
}
