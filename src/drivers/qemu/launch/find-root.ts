/** The address space of the workload: the CR3 of a vCPU that is seen at its beacon. */
import { PtmonError } from '../../../core/error.ts';
import type { QmpClient } from '../qmp/client.ts';
import { type PrintedRegisters, readPrintedRegisters } from '../qmp/info-registers.ts';
import type { Workload } from './workload.ts';

/** How long the workload stays at its beacon, in milliseconds of the guest. */
const BEACON_MS = 400;
const MAX_BEACONS = 25;

/** The guest runs meanwhile. @throws PtmonError `source-unavailable` where no vCPU is seen there, or the guest is lost */
export async function findWorkloadRoot(qmp: QmpClient, workload: Workload): Promise<bigint> {
  const { pid, cpus, beaconMagic } = await workload.ready();
  for (let beacon = 0; beacon < MAX_BEACONS; beacon++) {
    let isOver = false;
    const over = workload.command(`beacon ${BEACON_MS}`).finally(() => {
      isOver = true;
    });
    // A caller may await it only after it has failed.
    over.catch(() => {});
    let found: bigint | undefined;
    while (!isOver && found === undefined) {
      for (let vcpu = 0; vcpu < cpus; vcpu++) {
        const registers = await readPrintedRegisters(qmp, vcpu);
        if (isAtBeacon(registers, beaconMagic, BigInt(pid))) found ??= registers.cr3;
      }
    }
    await over;
    if (found !== undefined) return found;
  }
  throw new PtmonError('source-unavailable', "no vCPU was seen running the guest's program");
}

/** The magic and the PID are in r15 and r14; in a 32-bit guest, in edi and esi. */
function isAtBeacon(registers: PrintedRegisters, magic: bigint, pid: bigint): boolean {
  const either = (name: string, name32: string) => registers.value(name) ?? registers.value(name32);
  return either('R15', 'EDI') === magic && either('R14', 'ESI') === pid;
}
