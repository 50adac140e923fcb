/** `ptmon roots`. */
import { Command, Option } from 'commander';
import { hex } from '../../../core/address/va.ts';
import type { PagingModeName } from '../../../core/paging/modes.ts';
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import { findRoots, type FoundRoot } from '../../../snapshot/index.ts';
import { EXIT_OK } from '../../exit-codes.ts';
import { interruptible } from '../../interruptible.ts';
import { PAGING_MODES } from '../../option-values.ts';
import { onlySource, openSnapshot, type SnapshotOptions } from '../../snapshot/open-snapshot.ts';
import { addSourceOptions, SOURCE_HELP } from '../../snapshot/source-options.ts';
import { type VisitStreams, warningLines, withProgress } from '../../snapshot/visit-snapshot.ts';

const HELP = `
${SOURCE_HELP}

All memory is looked through. "sure" is a root whose upper half maps the root
itself, writable, as a kernel's must; "likely" is one of several with the same
upper half; "possible" only looks like one. 0 user entries: a kernel's own.

Examples:
  ptmon roots memory.raw
  ptmon map memory.raw --root 0x1234000 --paging 4-level
`;

interface Options extends SnapshotOptions {
  readonly paging?: PagingModeName;
  readonly json?: boolean;
}

/** @param exit is told the exit code of a run that did not fail */
export function rootsCommand({ output, messages }: VisitStreams, exit: (code: number) => void): Command {
  const command = new Command('roots')
    .description('search a dump for the top-level tables of its address spaces')
    .usage('[options] SOURCE\n       ptmon roots [options] --qmp SOCKET --gdb SOCKET')
    .argument('[source]', 'the path of a dump, unless a live guest is read')
    .addOption(new Option('--paging <mode>', 'look for roots of this mode only').choices(PAGING_MODES))
    .option('--json', 'print JSON lines, not text');
  return addSourceOptions(command)
    .addHelpText('after', HELP)
    .action(async (word: string | undefined, options: Options) => {
      const source = onlySource(word, options);
      await interruptible(output, exit, async (signal) => {
        const { found, description } = await withProgress(messages, signal, async (work, clear) => {
          const snapshot = await openSnapshot(source, options, work);
          try {
            clear();
            await messages.write(warningLines(snapshot));
            const modes = options.paging === undefined ? {} : { modes: [options.paging] };
            return { found: await findRoots(snapshot, { ...work, ...modes }), description: snapshot.description };
          } finally {
            await snapshot.close();
          }
        });
        await output.write(options.json === true ? found.map(jsonOf).join('') : textOf(found));
        await messages.write(`${description}\n`);
        return EXIT_OK;
      });
    });
}

function textOf(found: readonly FoundRoot[]): string {
  if (found.length === 0) return 'nothing looks like a root\n';
  const rows = [
    ['root', 'paging', 'confidence', 'user entries', 'because'],
    ...found.map(({ root, mode, confidence, userEntries, reason, sharing }) => {
      const others = sharing > 1 && confidence === 'sure' ? `, as ${sharing - 1} others do` : '';
      return [hex(root), mode, confidence, String(userEntries), `${reason}${others}`];
    }),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

function jsonOf({ root, ...rest }: FoundRoot): string {
  return `${JSON.stringify({ v: JSONL_VERSION, kind: 'root', root: hex(root), ...rest })}\n`;
}
