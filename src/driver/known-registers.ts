/** Registers that are all known at once, as those of a stopped guest. */
import { PtmonError } from '../core/error.ts';
import type { PagingRegisters, RegisterAccess } from './driver.ts';

/** @param source what has the vCPUs, for messages: `guest`, `dump` */
export function knownRegisters(
  source: string,
  vcpus: readonly PagingRegisters[],
  physicalAddressBits?: number,
): RegisterAccess {
  return {
    vcpuCount: vcpus.length,
    ...(physicalAddressBits !== undefined && { physicalAddressBits }),
    readRegisters(vcpu) {
      const found = vcpus[vcpu];
      if (found !== undefined) return found;
      const valid = vcpus.length === 1 ? 'only vCPU 0' : `vCPUs 0 to ${vcpus.length - 1}`;
      throw new PtmonError('bad-argument', `there is no vCPU ${vcpu}: the ${source} has ${valid}`, { vcpu });
    },
  };
}
