/** `ptmon watch`. */
import { type Command, Option } from 'commander';
import type { CommandContext } from '../../context.ts';
import type { WatchOptions } from '../../live/watch-options.ts';
import { addAddressOrSymbol } from '../../options/address.ts';
import { addLiveEventOptions } from '../../options/events.ts';
import { addBtfOption, addPagingOption, addRootOption, addSourceOptions } from '../../options/source.ts';
import { EVENT_KINDS } from '../../../core/monitor/events.ts';
import { listOf, wholeNumber } from '../../options/values.ts';
import { EXIT_FAILED, EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';
import { addHelp } from '../../options/help.ts';

const WATCH_MODES = ['exact', 'plugin', 'sample'] as const;

const HELP = `
Signs: + page in, - page out, ~ rights changed, = page size changed, x address
space ended.

In exact mode, the guest stops after each write to a watched page-table entry.
Exact mode needs a QEMU that was started with
  -qmp unix:/tmp/qmp,server=on,wait=off -gdb unix:/tmp/gdb,server=on,wait=off
KVM has four watchpoints, enough for one address. If a watch needs more, ptmon
samples.
In plugin mode, a plugin of QEMU records each write to a watched table, and the
guest does not stop. Plugin mode needs --qmp, and a QEMU that was started with
the plugin (ptmon doctor --help).
In sample mode, ptmon reads the page tables at intervals while the guest runs.
Sample mode needs --qmp, or just the file that backs the guest's memory, and
works with KVM. It misses what changes and changes back between two samples.
ptmon doctor checks what a VM lacks; ptmon run boots a guest to try this on.

Examples:
  ptmon watch --qmp /tmp/qmp --gdb /tmp/gdb --comm nginx --map heap
  ptmon watch --qmp /tmp/qmp --gdb /tmp/gdb --va 0x7f0012340000=buffer
  ptmon watch --qmp /tmp/qmp --gdb /tmp/gdb --root 0x1234000 --va 0x400000+2M=text
  ptmon watch --qmp /tmp/qmp --gdb /tmp/gdb --va sys_call_table+4K
  ptmon watch --qmp /tmp/qmp --gdb /tmp/gdb --va 0x400000+2M --record guest.trace
  ptmon watch --qmp /tmp/qmp --mode sample --interval 10 --va 0x400000+2M
  ptmon watch --qmp /tmp/qmp --plugin /tmp/ptmon --root 0x1234000 --va 0x400000+2M
  ptmon watch --vm web --comm nginx --map heap --on page-in --stop
  ptmon watch --vm web --pid 412 --map anon --dump-pages pages
  ptmon watch --ram-file /dev/shm/vm --paging 4-level --root 0x1234000 --va 0x400000
`;

export function defineWatch(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command
    .option('--pid <n>', 'watch the process with this PID (Linux guests)', wholeNumber(1, 2 ** 22))
    .option('--comm <name>', 'watch all processes with this name, also later ones (Linux guests)')
    .option(
      '--va <address>',
      'watch this address: 0x…, or a symbol of the Linux kernel; +LENGTH makes it a range, =TAG names it; repeatable',
      addAddressOrSymbol,
    );
  addLiveEventOptions(command);
  addBtfOption(addPagingOption(addRootOption(addSourceOptions(command))))
    .addOption(
      new Option(
        '--mode <mode>',
        'how to watch; defaults to plugin with --plugin, else to exact if there is a gdbstub with enough watchpoints, else to sample',
      ).choices(WATCH_MODES),
    )
    .option('--plugin <socket>', "socket of QEMU's plugin: the path in -plugin FILE.so,socket=PATH")
    .option(
      '--interval <ms>',
      'time between two samples; defaults to 100, less while pages change',
      wholeNumber(0, 2 ** 31 - 1),
    )
    .option(
      '--no-proof',
      'in sample mode, do not check between samples whether tables were written; the check needs root, Linux 6.7 and a C compiler',
    )
    .option('--max-watchpoints <n>', 'set at most this many watchpoints', wholeNumber(1, 1e6))
    .option('--on <kinds>', `with --stop: the events to wait for: ${EVENT_KINDS.join(',')}`, listOf(EVENT_KINDS))
    .option('--stop', 'leave the guest stopped at the first event of a kind in --on, and print its registers')
    .option('--dump-pages <folder>', 'write each paged-in page to a file in this new or empty folder')
    .action(async (options: WatchOptions) => {
      await interruptible(context, async (signal) => {
        const { openAndWatch } = await import('../../live/run-watch.ts');
        return (await openAndWatch(options, context, signal)) ? EXIT_OK : EXIT_FAILED;
      });
    });
}
