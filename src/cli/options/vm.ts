/** `--vm`: a VM of this host by its name or by QEMU's PID, instead of its sockets. Without it, the only VM there is. */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { PtmonError } from '../../core/error.ts';
import { chooseVm, noQmpText } from '../../guest/discovery/choose-vm.ts';
import { listVms, type Vm } from '../../guest/discovery/list-vms.ts';
import { parseAddress } from './values.ts';

interface SourceChoice {
  readonly vm?: string;
  readonly qmp?: string;
  readonly gdb?: string;
  readonly ramFile?: string;
  /** A dump or a trace, where the source is no argument. */
  readonly file?: string;
  /** Acts on the guest: it must be named. */
  readonly release?: boolean;
  /** Has nothing to do with a guest. */
  readonly buildPlugin?: string;
}

/** @param text what the command does with the VM, and without the option */
export function addVmOption(
  command: Command,
  text = 'live VM of this host, by name or PID (see ptmon vms); defaults to the only one, if there is no other source',
): Command {
  return command.option('--vm <name>', text);
}

/**
 * Puts the sockets of the VM in the place of `--qmp` and `--gdb`, and what to call it in that of `--vm`, for a command that has the option.
 *
 * @param list returns the VMs to choose from; defaults to those of this host
 * @throws PtmonError `bad-argument` where no VM fits, or more than one does
 */
export function resolveVm(command: Command, list = listVms): void {
  const vm = chosenVm(command.opts<SourceChoice>(), takesSource(command) ? command.args : [], list);
  if (vm !== undefined) command.setOptionValue('vm', `${vm.name} (PID ${vm.pid})`);
  if (vm?.qmp !== undefined) command.setOptionValue('qmp', vm.qmp);
  if (vm?.gdb !== undefined) command.setOptionValue('gdb', vm.gdb);
}

function chosenVm(
  { vm: wanted, qmp, gdb, ramFile, file, release, buildPlugin }: SourceChoice,
  words: readonly string[],
  list: () => readonly Vm[],
): Vm | undefined {
  const isNamed = qmp !== undefined || gdb !== undefined || file !== undefined;
  if (wanted !== undefined && isNamed) {
    throw new PtmonError('bad-argument', '--vm already names the guest: leave out --qmp, --gdb and --file');
  }
  const isApart = release === true || buildPlugin !== undefined || ramFile !== undefined || mayBeFile(words[0]);
  if (wanted === undefined && (isNamed || isApart)) return undefined;
  const vms = list();
  // Without a VM, the command reports every kind of source.
  return wanted === undefined && vms.length === 0 ? undefined : withQmp(chooseVm(wanted, vms));
}

/** The arguments of a script are its own. */
function takesSource(command: Command): boolean {
  return !command.options.some(({ long }) => long === '--file');
}

/** Whether the first argument is a source, and not already what is asked of one: an address, a PID, standard input. */
function mayBeFile(word: string | undefined): boolean {
  return word !== undefined && ((word !== '-' && parseAddress(word) === undefined) || existsSync(word));
}

function withQmp(vm: Vm): Vm {
  if (vm.qmp !== undefined) return vm;
  throw new PtmonError('bad-argument', `VM ${vm.name} (PID ${vm.pid}) has ${noQmpText(vm)}`);
}
