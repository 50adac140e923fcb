/** `ptmon serve`. */
import { type Command, Option } from 'commander';
import type { CommandContext } from '../../context.ts';
import { rootOption } from '../../options/address.ts';
import { addHelp } from '../../options/help.ts';
import { addProcessOptions, addSocketOptions, isLive } from '../../options/source.ts';
import { wholeNumber } from '../../options/values.ts';
import { EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';
import type { ServeOptions } from './run-serve.ts';

const HELP = `
Shows address spaces in a browser. Each memory area is a block of cells; the
colour of a cell tells what its pages are, and it flashes when they change.
Beside them are processes, events, rates, and physical memory by owner.

Open the address that serve prints. It contains a secret, the token, and serve
refuses requests without it. SOURCE is a trace, a dump, two dumps to compare, or
the folder of an archive. Of an archive, serve shows the last session of a VM.
Without SOURCE, serve shows a live guest. It reads the processes at intervals;
with --mode exact, it follows each change.

Programs read /events (JSON lines), /metrics (Prometheus) and /healthz.

Examples:
  ptmon serve                          the only VM of this host
  ptmon serve --vm vm1 --comm nginx    follow the processes of a name
  ptmon serve guest.trace              a trace, to play or to move through by hand
  ptmon serve before.core after.core   what changed between two dumps
  ptmon serve /var/lib/ptmon --of vm1  what an agent has archived of a VM
  ptmon serve --port 8080 vm.core      a port of your own
`;

export const MAX_PORT = 65_535;

export function defineServe(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command
    .usage('[options] SOURCE [SOURCE]\n       ptmon serve [options] --vm NAME')
    .argument('[sources...]', 'path of a trace, of a dump, of two dumps, or of an archive')
    .option('--port <n>', 'port to listen on; 0 takes a free one', wholeNumber(0, MAX_PORT), 0)
    .option('--listen <address>', 'address to listen on; 127.0.0.1 admits this host only', '127.0.0.1')
    .option('--token <text>', 'secret in the address that is printed; random by default')
    .addOption(
      new Option('--mode <mode>', 'how a live guest is followed').choices(['exact', 'sample']).default('sample'),
    )
    .option('--of <vm>', 'for an archive: the VM, as VM or HOST/VM; defaults to the only one')
    .addOption(new Option('--root <cr3>', 'for a dump: show only this address space: 0x…').argParser(rootOption));
  addProcessOptions(addSocketOptions(command), {
    pid: 'follow the process with this PID (Linux guests)',
    comm: 'follow the processes with this name (Linux guests)',
  }).action(async (words: string[], options: ServeOptions) => {
    await interruptible(context, async (signal) => {
      const { runServe } = await import('./run-serve.ts');
      await runServe(isLive(options) ? undefined : words, { ...options, rest: words }, context, signal);
      return EXIT_OK;
    });
  });
}
