/** Registers of vCPUs as QEMU's monitor prints them (`info registers`): without a gdbstub, and while the guest runs. */
import { PtmonError } from '../../../core/error.ts';
import type { PagingRegisters } from '../../../driver/driver.ts';
import type { QmpClient } from './client.ts';

export interface PrintedRegisters extends PagingRegisters {
  /** Any register that is printed as `NAME=hex`: `RIP`, `R15`, … undefined where it is not. */
  value(name: string): bigint | undefined;
}

/** @throws PtmonError `source-unavailable` where QEMU prints no x86 registers, and as `QmpClient.humanMonitor` */
export async function readPrintedRegisters(qmp: QmpClient, vcpu: number): Promise<PrintedRegisters> {
  const text = await qmp.humanMonitor('info registers', { vcpu });
  const value = (name: string): bigint | undefined => {
    const digits = new RegExp(`\\b${name} *=([0-9a-f]+)\\b`).exec(text)?.[1];
    return digits === undefined ? undefined : BigInt(`0x${digits}`);
  };
  const required = (name: string): bigint => {
    const found = value(name);
    if (found !== undefined) return found;
    throw new PtmonError(
      'source-unavailable',
      `${qmp.address}: QEMU prints no register ${name}: ptmon needs an x86 guest`,
    );
  };
  return { cr0: required('CR0'), cr3: required('CR3'), cr4: required('CR4'), efer: required('EFER'), value };
}

/** @throws PtmonError as `readPrintedRegisters` */
export async function readAllRegisters(qmp: QmpClient): Promise<PagingRegisters[]> {
  const vcpus = await qmp.execute('query-cpus-fast');
  if (!Array.isArray(vcpus)) throw new PtmonError('corrupt-input', `${qmp.address}: query-cpus-fast returned no list`);
  const read: PagingRegisters[] = [];
  for (let vcpu = 0; vcpu < vcpus.length; vcpu++) read.push(await readPrintedRegisters(qmp, vcpu));
  return read;
}
