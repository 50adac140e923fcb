/** A live guest's paging: what its registers say, and what QEMU says of its processor. */
import { makePaging, type Paging } from '../../core/paging/format.ts';
import { pagingFromRegisters, type PagingControl } from '../../core/paging/registers.ts';
import { type QmpClient, qmpRefusalOf } from '../../drivers/qemu/index.ts';

/**
 * MAXPHYADDR, CPUID 80000008H:EAX[7:0], as QEMU set it up; undefined where it does not say. Asked for at the first vCPU, since
 * QEMU gives all of them the same.
 *
 * @throws PtmonError as `QmpClient.execute`, but for a refusal
 */
export async function readPhysicalAddressBits(qmp: QmpClient): Promise<number | undefined> {
  const cpus = (await unlessRefused(qmp.execute('query-cpus-fast'))) as readonly { 'qom-path'?: unknown }[] | undefined;
  const path = Array.isArray(cpus) ? (cpus[0] as { 'qom-path'?: unknown } | undefined)?.['qom-path'] : undefined;
  if (typeof path !== 'string') return undefined;
  const bits = await unlessRefused(qmp.execute('qom-get', { path, property: 'phys-bits' }));
  return typeof bits === 'number' && bits >= 32 && bits <= 52 ? bits : undefined;
}

/** Undefined while paging is off. */
export function guestPaging(registers: PagingControl, physicalAddressBits?: number): Paging | undefined {
  const found = pagingFromRegisters(registers);
  return found && makePaging({ ...found, ...(physicalAddressBits !== undefined && { physicalAddressBits }) });
}

async function unlessRefused(answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    if (qmpRefusalOf(error) === undefined) throw error;
    return undefined;
  }
}
