/** `ptmon diff`. */
import { type Command, Option } from 'commander';
import { PtmonError } from '../../../core/error.ts';
import type { Difference } from '../../../snapshot/index.ts';
import type { CommandContext } from '../../context.ts';
import { rootOption } from '../../options/address.ts';
import { addressRange } from '../../options/address-range.ts';
import { addJsonOption } from '../../options/events.ts';
import { addProcessOptions, addSourceOptions, addSpaceOptions, isLive } from '../../options/source.ts';
import { listOf } from '../../options/values.ts';
import type { DiffOptions } from './run-diff.ts';
import { addHelp } from '../../options/help.ts';

const KINDS = ['page-in', 'page-out', 'protection', 'restructure'] as const satisfies readonly Difference['kind'][];

const HELP = `
A and B are the paths of dumps or traces, whose format is recognized by their
content. With --vm, or --qmp and --gdb, a live guest replaces B: ptmon pauses
it, reads it, and resumes it.

Signs: + paged in, - paged out (both, for pages that moved),
~ other rights, = other page size. Accessed and dirty bits, and others that
change neither the memory behind a page nor its rights, do not count.

Exit codes:
  0  no differences
  1  differences
  5  no differences were found, but there may be some: page tables are missing
     from a dump, or an address space maps nothing at all

Examples:
  ptmon diff before.core after.core
  ptmon diff before.core after.core --va 0x7f0000000000+1G --pages
  ptmon diff before.core --qmp /tmp/qmp --gdb /tmp/gdb --root 0x1234000 --json
`;

const VM_HELP = 'live VM of this host to compare A with, by name or PID (see ptmon vms)';

export function defineDiff(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command
    .usage('[options] A B\n       ptmon diff [options] A --vm NAME')
    .argument('<dumps...>', 'paths of two dumps or traces, or of one to compare with a live guest')
    .option('--root-b <cr3>', 'address space of B, if its root is not that of A: 0x…, or current', rootOption)
    .option('--va <range>', 'only these addresses: 0x…-0x…, or 0x…+LENGTH', addressRange)
    .option('--kinds <kinds>', `only differences of these kinds: ${KINDS.join(',')}`, listOf(KINDS))
    .addOption(new Option('--pages', 'one line for each page, with its frame').conflicts('runs'))
    .option('--runs', 'one line for each run of contiguous physical memory');
  addProcessOptions(addSpaceOptions(addSourceOptions(addJsonOption(command), VM_HELP))).action(
    async (dumps: readonly string[], options: DiffOptions) => {
      const wanted = isLive(options) ? 1 : 2;
      if (dumps.length !== wanted) {
        const what = isLive(options)
          ? 'with a live guest, diff takes one dump or trace'
          : 'diff takes two dumps or traces, or one and a live guest (--vm)';
        throw new PtmonError('bad-argument', `${what}; ${dumps.length} given`);
      }
      const [a, b] = dumps as readonly [string, string | undefined];
      const { runDiff } = await import('./run-diff.ts');
      await runDiff(a, b, { ...options, kinds: options.kinds ?? KINDS }, context);
    },
  );
}
