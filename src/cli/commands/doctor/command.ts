/** `ptmon doctor`. */
import { Command } from 'commander';
import { PtmonError } from '../../../core/error.ts';
import { coloursFor } from '../../../sinks/colours.ts';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { type Check, isOk } from './checks.ts';
import { workingModes } from './conclusion.ts';
import { reportJson, reportText } from './report.ts';
import { type DoctorOptions, examine } from './run-doctor.ts';
import { EXIT_OK, EXIT_SOURCE } from '../../exit-codes.ts';
import { interruptible } from '../../interruptible.ts';

const EXAMPLES = `
The guest stands still for a moment, and is left as it was found, running or
not. With --release it runs afterwards, whatever it did before.

Exit codes: 0 where at least one way to watch works, 3 where none does;
with --release, 0 where the guest runs afterwards, 3 where it does not.

Examples:
  ptmon doctor                                   how QEMU must be started
  ptmon doctor --qmp /tmp/qmp --gdb /tmp/gdb     what works on one that runs
  ptmon doctor --qmp /tmp/qmp --gdb /tmp/gdb --release
                                                 frees a guest left standing
`;

interface Options extends DoctorOptions {
  readonly json?: boolean;
}

/** @param exit is told the exit code of a run that did not fail */
export function doctorCommand(output: TextOutput, exit: (code: number) => void): Command {
  return new Command('doctor')
    .description('say what of a VM works for watching it, what is missing, and which flag of QEMU gives it')
    .option('--qmp <socket>', "QEMU's QMP socket: a path, or host:port")
    .option('--gdb <socket>', "QEMU's gdbstub: a path, or host:port")
    .option('--ram-file <path>', "the file that is the guest's memory, where QEMU's word for it is not right here")
    .option('--release', 'let a guest run that was left standing still, and clear its watchpoints')
    .option('--json', 'print a line of JSON, not text')
    .addHelpText('after', EXAMPLES)
    .action(async (options: Options) => {
      if (options.release === true && options.gdb === undefined) {
        throw new PtmonError('bad-argument', '--release takes --gdb: only the gdbstub clears watchpoints');
      }
      await interruptible(output, exit, async (signal) => {
        const checks = await examine(options, signal);
        await output.write(options.json === true ? reportJson(checks) : reportText(checks, coloursFor(output.stream)));
        return isWell(checks, options) ? EXIT_OK : EXIT_SOURCE;
      });
    });
}

function isWell(checks: readonly Check[], options: DoctorOptions): boolean {
  return options.release === true ? isOk(checks, 'release') : workingModes(checks).length > 0;
}
