/** `ptmon watch`. */
import { Command, Option } from 'commander';
import type { OptInKind } from '../core/monitor/events.ts';
import { openQemu } from '../drivers/qemu/index.ts';
import type { TextOutput } from '../sinks/text-output.ts';
import { EXIT_FAILED, EXIT_OK } from './exit-codes.ts';
import { catchInterrupts } from './interrupt.ts';
import { listOf, wholeNumber } from './option-values.ts';
import { addAddress, rootOption } from './watch/address-option.ts';
import { type WatchOptions, watchExactly } from './watch/run-watch.ts';

const OPT_IN_KINDS = ['protection', 'restructure', 'root-gone'] as const satisfies readonly OptInKind[];
const MEMORY_KINDS = ['auto', 'file', 'process', 'gdb'] as const;

const EXAMPLES = `
QEMU must have been started with:  -qmp unix:/tmp/qmp,server=on,wait=off  -gdb unix:/tmp/gdb,server=on,wait=off
(ptmon doctor says what a running one lacks, ptmon run starts a guest to try this on.)

Examples:
  ptmon watch --qmp /tmp/qmp --gdb /tmp/gdb --va 0x7f0012340000=buffer
  ptmon watch --qmp /tmp/qmp --gdb /tmp/gdb --root 0x1234000 --va 0x400000+2M=text --json --count 100
`;

interface Options extends WatchOptions {
  readonly qmp: string;
  readonly gdb: string;
  readonly ramFile?: string;
  readonly maxWatchpoints?: number;
}

/** @param exit is told the exit code of a run that did not fail */
export function watchCommand(output: TextOutput, messages: TextOutput, exit: (code: number) => void): Command {
  return new Command('watch')
    .description('watch addresses of a running guest gain and lose their memory')
    .requiredOption('--qmp <socket>', "QEMU's QMP socket: a path, or host:port")
    .requiredOption('--gdb <socket>', "QEMU's gdbstub: a path, or host:port")
    .requiredOption('--va <address>', '0x…, or a range 0x…+LENGTH; =TAG after it; repeatable', addAddress)
    .option('--root <cr3>', 'the address space: current (vCPU 0), or 0x…', rootOption, 'current')
    .option('--duration <seconds>', 'end after so long', wholeNumber(1, 1e6))
    .option('--count <n>', 'end after so many events', wholeNumber(1, 1e9))
    .option('--kinds <kinds>', `more kinds of events: ${OPT_IN_KINDS.join(',')}`, listOf(OPT_IN_KINDS))
    .option('--json', 'print JSON lines, not text')
    .option('--verify', 'have QEMU translate every watched address at each stop, and report differences')
    .addOption(new Option('--memory <way>', "how the guest's memory is read").choices(MEMORY_KINDS).default('auto'))
    .option('--ram-file <path>', "the file that is the guest's memory, where QEMU's word for it is not right here")
    .option('--max-watchpoints <n>', 'watchpoints that may be set at once', wholeNumber(1, 1e6))
    .addHelpText('after', EXAMPLES)
    .action(async (options: Options) => {
      const interrupt = catchInterrupts();
      const signal = AbortSignal.any([interrupt.signal, output.closed]);
      try {
        const driver = await openQemu({ ...options, signal });
        const agreed = await watchExactly(driver, options, { output, messages }, signal);
        exit(interrupt.exitCode ?? (agreed ? EXIT_OK : EXIT_FAILED));
      } catch (error) {
        // An interrupt is no failure of what it interrupted.
        if (!interrupt.signal.aborted || error !== interrupt.signal.reason) throw error;
        exit(interrupt.exitCode ?? EXIT_OK);
      } finally {
        interrupt.release();
      }
    });
}
