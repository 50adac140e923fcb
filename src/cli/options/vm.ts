/** `--vm`: a VM of this host by its name or by QEMU's PID, instead of its sockets. Without it, the only VM there is. */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { PtmonError } from '../../core/error.ts';
import { chooseVm } from '../../guest/discovery/choose-vm.ts';
import { listVms, type Vm } from '../../guest/discovery/list-vms.ts';

interface SourceChoice {
  readonly vm?: string;
  readonly qmp?: string;
  readonly gdb?: string;
  readonly ramFile?: string;
}

/** Adds the option; before the command's action runs, the sockets of the VM take the place of `--qmp` and `--gdb`. */
export function addVmOption(command: Command): Command {
  return command
    .option('--vm <name>', 'live VM of this host, by name or PID (see ptmon vms); defaults to the only one')
    .hook('preAction', () => {
      const { qmp, gdb } = socketsFor(command.opts<SourceChoice>(), command.args) ?? {};
      if (qmp !== undefined) command.setOptionValue('qmp', qmp);
      if (gdb !== undefined) command.setOptionValue('gdb', gdb);
    });
}

/** @throws PtmonError `bad-argument` where no VM fits, or more than one does */
function socketsFor({ vm: wanted, qmp, gdb, ramFile }: SourceChoice, words: readonly string[]): Vm | undefined {
  const isNamed = qmp !== undefined || gdb !== undefined;
  if (wanted !== undefined) {
    if (isNamed) throw new PtmonError('bad-argument', '--vm already names the guest: leave out --qmp and --gdb');
    return withQmp(chooseVm(wanted));
  }
  if (isNamed || ramFile !== undefined || mayBeFile(words[0])) return undefined;
  const vms = listVms();
  // What the command reports then names every kind of source.
  return vms.length === 0 ? undefined : withQmp(chooseVm(undefined, vms));
}

/** Whether the first argument is a source, and not already what is asked of one: an address, a PID, standard input. */
function mayBeFile(word: string | undefined): boolean {
  return word !== undefined && (!/^(?:0x[0-9a-f]+|\d+|-)$/i.test(word) || existsSync(word));
}

function withQmp(vm: Vm): Vm {
  if (vm.qmp !== undefined) return vm;
  throw new PtmonError(
    'bad-argument',
    `VM ${vm.name} (PID ${vm.pid}) has no QMP socket: start QEMU with ${vm.missing.join(' ')}`,
  );
}
