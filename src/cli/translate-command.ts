/** `ptmon translate`. */
import { Command, Option } from 'commander';
import type { GuestMemoryKind } from '../drivers/qemu/index.ts';
import type { TextOutput } from '../sinks/text-output.ts';
import { EXIT_OK } from './exit-codes.ts';
import { interruptible } from './interruptible.ts';
import { MEMORY_WAYS, wholeNumber } from './option-values.ts';
import { readAddresses } from './translate/addresses.ts';
import { openLiveSnapshot } from './snapshot/live-snapshot.ts';
import { translate } from './translate/run-translate.ts';
import { rootOption } from './watch/address-option.ts';

const EXAMPLES = `
The guest stands still for as long as it takes, and is left as it was found.
An address that leads nowhere is an answer, too, with exit code 0; one that is
not canonical is refused with 2.

Examples:
  ptmon translate 0xffffffff81000000 --qmp /tmp/qmp --gdb /tmp/gdb
  ptmon translate 0x400000 --root 0x1234000 --qmp /tmp/qmp --gdb /tmp/gdb
  ptmon translate - --json --qmp /tmp/qmp --gdb /tmp/gdb <addresses
`;

interface Options {
  readonly qmp: string;
  readonly gdb: string;
  readonly root: 'current' | bigint;
  readonly vcpu: number;
  readonly json?: boolean;
  readonly memory: GuestMemoryKind | 'auto';
  readonly ramFile?: string;
}

export interface TranslateStreams {
  readonly output: TextOutput;
  readonly messages: TextOutput;
  /** What `-` stands for; not opened before it is needed. */
  readonly input: () => AsyncIterable<unknown>;
}

/** @param exit is told the exit code of a run that did not fail */
export function translateCommand({ output, messages, input }: TranslateStreams, exit: (code: number) => void): Command {
  return new Command('translate')
    .description('explain, level by level, where addresses of a running guest lead')
    .argument('<va...>', '0x…; - takes them from standard input')
    .requiredOption('--qmp <socket>', "QEMU's QMP socket: a path, or host:port")
    .requiredOption('--gdb <socket>', "QEMU's gdbstub: a path, or host:port")
    .option('--root <cr3>', "the address space: current (the vCPU's), or 0x…", rootOption, 'current')
    .option('--vcpu <n>', 'whose registers say how addresses are translated', wholeNumber(0, 4095), 0)
    .option('--json', 'print JSON lines, not text')
    .addOption(new Option('--memory <way>', "how the guest's memory is read").choices(MEMORY_WAYS).default('auto'))
    .option('--ram-file <path>', "the file that is the guest's memory, where QEMU's word for it is not right here")
    .addHelpText('after', EXAMPLES)
    .action(async (words: readonly string[], options: Options) => {
      const addresses = await readAddresses(words, input);
      await interruptible(output, exit, async (signal) => {
        const open = () => openLiveSnapshot(options, signal);
        const { description } = await translate(open, { ...options, addresses }, output, signal);
        await messages.write(`${description}\n`);
        return EXIT_OK;
      });
    });
}
