/** Which VM a name, a process number, or nothing at all means. */
import { PtmonError } from '../../core/error.ts';
import { listVms, type Vm } from './list-vms.ts';

/**
 * @param wanted a VM's name or QEMU's process number; undefined for the only VM there is
 * @throws PtmonError `bad-argument` where no VM fits, or more than one does
 */
export function chooseVm(wanted: string | number | undefined, vms: readonly Vm[] = listVms()): Vm {
  const fitting =
    wanted === undefined ? vms : vms.filter(({ name, pid }) => name === wanted || String(pid) === String(wanted));
  const [vm, ...others] = fitting;
  if (vm === undefined) throw noVm(wanted, vms);
  if (others.length === 0) return vm;
  const which =
    wanted === undefined ? `this host runs ${fitting.length} VMs` : `${fitting.length} VMs have the name ${wanted}`;
  throw new PtmonError('bad-argument', `${which}: ${listed(fitting)}; choose one by its PID, as in --vm ${vm.pid}`);
}

/** What a VM without QMP lacks: the option that adds it, not the others of `missing`. */
export function noQmpText({ missing }: Pick<Vm, 'missing'>): string {
  return `no QMP socket: start QEMU with ${missing.filter((option) => option.startsWith('-qmp ')).join(' ')}`;
}

function noVm(wanted: string | number | undefined, vms: readonly Vm[]): PtmonError {
  if (vms.length === 0) {
    const what = wanted === undefined ? 'no VM is running' : `no VM ${wanted} is running`;
    return new PtmonError('bad-argument', `${what}: no process of this host that this user can see is a QEMU`);
  }
  return new PtmonError('bad-argument', `no VM has the name or PID ${wanted}; there are ${listed(vms)}`);
}

function listed(vms: readonly Vm[]): string {
  return vms.map(({ name, pid }) => `${name} (PID ${pid})`).join(', ');
}
