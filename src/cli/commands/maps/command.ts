/** `ptmon maps`. */
import type { Command } from 'commander';
import { PtmonError } from '../../../core/error.ts';
import type { CommandContext } from '../../context.ts';
import { addJsonOption } from '../../options/events.ts';
import {
  addConsistentOption,
  addSourceOptions,
  addSpaceOptions,
  type SourceAndSpaceOptions,
  sourceUsage,
  takeSource,
  DUMP_SOURCE_HELP,
} from '../../options/source.ts';
import { addHelp } from '../../options/help.ts';

const HELP = `
${DUMP_SOURCE_HELP}

"resident" is what /proc/PID/smaps calls Rss, computed from the page tables.
Rights are those of /proc/PID/maps: r, w, x, then p (private) or s (shared).
ptmon map shows the rights in the page tables, with u for user mode.
A dash in a column of sizes stands for none.

Examples:
  ptmon maps vm.core 1
  ptmon maps 1 --qmp /tmp/qmp --gdb /tmp/gdb
  ptmon maps 81 --json --qmp /tmp/qmp --gdb /tmp/gdb
`;

interface Options extends SourceAndSpaceOptions {
  readonly json?: boolean;
}

export function defineMaps(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command
    .usage(sourceUsage('maps', ' PID'))
    .argument('[SOURCE PID...]', 'a dump, unless the guest is live; and a process ID (see ptmon ps)');
  addSpaceOptions(addConsistentOption(addSourceOptions(addJsonOption(command)))).action(
    async (words: readonly string[], options: Options) => {
      const { source, rest } = takeSource(words, options);
      const pid = processNumber(rest);
      const { runMaps } = await import('./run-maps.ts');
      await runMaps(source, pid, options, context);
    },
  );
}

/** PID_MAX_LIMIT is 2^22. */
function processNumber(words: readonly string[]): number {
  const [word, ...more] = words;
  if (word === undefined) throw new PtmonError('bad-argument', 'no process given: add its PID (ptmon ps lists them)');
  if (more.length > 0 || !/^\d{1,7}$/.test(word)) {
    throw new PtmonError('bad-argument', `"${words.join(' ')}" is not a process ID (ptmon ps lists them)`);
  }
  return Number(word);
}
