/** `ptmon translate`. */
import { Command } from 'commander';
import { PtmonError } from '../../../core/error.ts';
import type { TextOutput } from '../../../sinks/text-output.ts';
import type { LinuxGuest } from '../../../linux/index.ts';
import { linuxIfAny } from '../../linux/run-linux.ts';
import { EXIT_OK, EXIT_USAGE } from '../../exit-codes.ts';
import { interruptible } from '../../interruptible.ts';
import { takeSource } from '../../snapshot/open-snapshot.ts';
import {
  addSourceOptions,
  addSpaceOptions,
  SOURCE_HELP,
  type SourceAndSpaceOptions,
} from '../../snapshot/source-options.ts';
import { canonicalOnly, readAddresses, WrongWords } from './addresses.ts';
import { translateBack } from './reverse.ts';
import { translate } from './run-translate.ts';
import { visitSnapshot } from '../../snapshot/visit-snapshot.ts';
import { addPhysical } from '../../option-values.ts';

const HELP = `
${SOURCE_HELP}

An address that leads nowhere is an answer, too, with exit code 0. One that is
not canonical, or no address, is refused with 2; on standard input, all others
are translated before that.

Examples:
  ptmon translate vm.core 0xffffffff81000000 0x400000
  ptmon translate vm.core - --json <addresses
  ptmon translate vm.core --pa 0x1234000
  ptmon translate memory.raw 0x400000 --root 0x1234000 --paging 4-level
  ptmon translate 0x400000 --qmp /tmp/qmp --gdb /tmp/gdb
`;

interface Options extends SourceAndSpaceOptions {
  readonly json?: boolean;
  readonly pa?: readonly number[];
}

export interface TranslateStreams {
  readonly output: TextOutput;
  readonly messages: TextOutput;
  /** What `-` stands for; not opened before it is needed. */
  readonly input: () => AsyncIterable<unknown>;
}

/** @param exit is told the exit code of a run that did not fail */
export function translateCommand({ output, messages, input }: TranslateStreams, exit: (code: number) => void): Command {
  const command = new Command('translate')
    .description('explain, level by level, where addresses of a dump or of a live guest lead')
    .usage('[options] SOURCE VA…\n       ptmon translate [options] VA… --qmp SOCKET --gdb SOCKET')
    .argument('[va...]', 'the source, unless it is live, then 0x…; - takes them from standard input')
    .option('--pa <address>', 'the other way round: which virtual addresses lead to 0x…; repeatable', addPhysical)
    .option('--json', 'print JSON lines, not text');
  return addSpaceOptions(addSourceOptions(command))
    .addHelpText('after', HELP)
    .action(async (words: readonly string[], options: Options) => {
      const { source, rest } = takeSource(words, options);
      const { pa: physical = [], json = false } = options;
      const wrong = new WrongWords();
      const addresses = await readAddresses(rest, input, wrong);
      if (rest.length === 0 && physical.length === 0) {
        throw new PtmonError('bad-argument', 'which address is to be translated? Give some, or --pa');
      }
      await interruptible(output, exit, async (signal) => {
        await visitSnapshot(source, options, { output, messages }, signal, async (visit) => {
          let linux: Promise<LinuxGuest | undefined> | undefined;
          const known = canonicalOnly(visit.space.paging, addresses, wrong);
          await translate(visit, known, json, () => (linux ??= linuxIfAny(visit, options)));
          for (const pa of physical) await translateBack(visit, pa, json);
        });
        for (const line of wrong.lines) await messages.write(`${line}\n`);
        return wrong.count === 0 ? EXIT_OK : EXIT_USAGE;
      });
    });
}
