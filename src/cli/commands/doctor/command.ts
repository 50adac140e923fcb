/** `ptmon doctor`. */
import type { Command } from 'commander';
import { PtmonError } from '../../../core/error.ts';
import type { CommandContext } from '../../context.ts';
import { addRamFileOption, addSocketOptions } from '../../options/source.ts';
import { EXIT_OK, EXIT_SOURCE } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';
import type { DoctorOptions } from './run-doctor.ts';
import { addHelp } from '../../options/help.ts';

const HELP = `
doctor pauses the guest for a moment, and leaves it running or paused, as it was
before. With --release, the guest runs afterwards.

With --build-plugin, doctor builds the plugin of ptmon watch --mode plugin from
its C source in this package, with gcc, without headers or sources of QEMU.
Start QEMU with it, under TCG:
  -plugin FILE.so,socket=/tmp/ptmon

Exit codes: 0 if at least one way to watch works, 3 if none does;
with --release, 0 if the guest runs afterwards, 3 if it does not.

Examples:
  ptmon doctor                                   check the only VM of this host;
                                                 without one, list the options
                                                 that QEMU needs
  ptmon doctor --qmp /tmp/qmp --gdb /tmp/gdb     what works for this VM
  ptmon doctor --qmp /tmp/qmp --gdb /tmp/gdb --release
                                                 resumes a paused guest
  ptmon doctor --build-plugin ptmon-plugin.so    builds QEMU's plugin
`;

interface Options extends DoctorOptions {
  readonly json?: boolean;
  /** The file to make. */
  readonly buildPlugin?: string;
}

const VM_HELP =
  'live VM of this host, by name or PID (see ptmon vms); defaults to the only one, but not with --release';

export function defineDoctor(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  addRamFileOption(addSocketOptions(command, VM_HELP))
    .option('--release', 'clear all watchpoints and resume a guest that was left paused')
    .option('--build-plugin <file>', "build QEMU's plugin for ptmon watch --mode plugin, and check no VM")
    .option('--json', 'print one line of JSON instead of text')
    .action(async (options: Options) => {
      if (options.release === true && options.gdb === undefined) {
        throw new PtmonError('bad-argument', '--release needs --vm or --gdb, to know which guest to release');
      }
      const { buildPlugin: file } = options;
      if (file !== undefined) {
        const { makePlugin } = await import('./make-plugin.ts');
        await makePlugin(file, context);
        return;
      }
      await interruptible(context, async (signal) => {
        const { runDoctor } = await import('./run-doctor.ts');
        return (await runDoctor(options, context.output, signal)) ? EXIT_OK : EXIT_SOURCE;
      });
    });
}
