/** `ptmon watch`. */
import { Command, Option } from 'commander';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { EXIT_FAILED, EXIT_OK } from '../../exit-codes.ts';
import { interruptible } from '../../interruptible.ts';
import { listOf, MEMORY_WAYS, OPT_IN_KINDS, PAGING_MODES, wholeNumber } from '../../option-values.ts';
import { addAddress, rootOption } from './address-option.ts';
import { mapOption } from './map-option.ts';
import { checkTargets } from './watched-processes.ts';
import { runWatch, type WatchOptions } from './run-watch.ts';
import { openSource } from './source.ts';

const WATCH_MODES = ['exact', 'sample'] as const;

const EXAMPLES = `
Exact watching stops the guest after each write to a watched page-table entry. It takes a QEMU without KVM that was started with
  -qmp unix:/tmp/qmp,server=on,wait=off  -gdb unix:/tmp/gdb,server=on,wait=off
Sampling takes --qmp alone, or just the file that is the guest's memory, and works with KVM too: it looks at intervals, and does not
see what changes and changes back in between. (ptmon doctor says what a VM lacks; ptmon run starts a guest to try this on.)

Examples:
  ptmon watch --qmp /tmp/qmp --gdb /tmp/gdb --comm nginx --map heap
  ptmon watch --qmp /tmp/qmp --gdb /tmp/gdb --va 0x7f0012340000=buffer
  ptmon watch --qmp /tmp/qmp --gdb /tmp/gdb --root 0x1234000 --va 0x400000+2M=text --json --count 100
  ptmon watch --qmp /tmp/qmp --gdb /tmp/gdb --va 0x400000+2M --record guest.trace
  ptmon watch --qmp /tmp/qmp --mode sample --interval 10 --va 0x400000+2M
  ptmon watch --ram-file /dev/shm/vm --paging 4-level --root 0x1234000 --va 0x400000
`;

/** @param exit is told the exit code of a run that did not fail */
export function watchCommand(output: TextOutput, messages: TextOutput, exit: (code: number) => void): Command {
  return new Command('watch')
    .description('watch processes or addresses of a running guest gain and lose their memory')
    .option('--pid <n>', 'the process of a Linux guest with this number', wholeNumber(1, 2 ** 22))
    .option('--comm <name>', 'all processes of a Linux guest with this name, those to come among them')
    .option('--map <map>', 'of a process only heap, stack, anon, a FILE, or what 0x… is in', mapOption)
    .option('--va <address>', '0x…, or a range 0x…+LENGTH; =TAG after it; repeatable', addAddress)
    .option('--qmp <socket>', "QEMU's QMP socket: a path, or host:port")
    .option('--gdb <socket>', "QEMU's gdbstub: a path, or host:port")
    .option('--ram-file <path>', "the file that is the guest's memory")
    .option('--ram-map <map>', 'where RAM lies in a file without --qmp: 0x0+3G@0,0x100000000+1G@3G')
    .addOption(new Option('--paging <mode>', 'how the guest pages, where no --qmp tells').choices(PAGING_MODES))
    .option('--root <cr3>', 'the address space: current (vCPU 0), or 0x…', rootOption, 'current')
    .addOption(new Option('--mode <mode>', 'exact where there is a gdbstub, unless told').choices(WATCH_MODES))
    .option('--interval <ms>', 'from one sample to the next', wholeNumber(0, 2 ** 31 - 1))
    .option('--duration <seconds>', 'end after so long', wholeNumber(1, 1e6))
    .option('--count <n>', 'end after so many events', wholeNumber(1, 1e9))
    .option('--kinds <kinds>', `more kinds of events: ${OPT_IN_KINDS.join(',')}`, listOf(OPT_IN_KINDS))
    .option('--json', 'print JSON lines, not text')
    .option('--record <file>', 'write a trace, for ptmon replay')
    .option('--verify', 'have QEMU translate every watched address at each stop, and report differences')
    .addOption(new Option('--memory <way>', "how the guest's memory is read").choices(MEMORY_WAYS).default('auto'))
    .option('--max-watchpoints <n>', 'watchpoints that may be set at once', wholeNumber(1, 1e6))
    .addHelpText('after', EXAMPLES)
    .action(async (options: WatchOptions) => {
      checkTargets(options);
      await interruptible(output, exit, async (signal) => {
        const source = await openSource(options, signal, (line) => messages.write(`${line}\n`));
        const agreed = await runWatch(source, options, { output, messages }, signal);
        return agreed ? EXIT_OK : EXIT_FAILED;
      });
    });
}
