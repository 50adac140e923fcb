/** MAXPHYADDR, CPUID 80000008H:EAX[7:0]: the width of physical addresses that QEMU has given its processors. */
import type { QmpClient } from './client.ts';
import { qmpRefusalOf } from './pending-commands.ts';

/**
 * Undefined where QEMU does not say. Asked for at the first vCPU, since QEMU gives all of them the same.
 *
 * @throws PtmonError as `QmpClient.execute`, but for a refusal
 */
export async function readPhysicalAddressBits(qmp: QmpClient): Promise<number | undefined> {
  const cpus = await unlessRefused(qmp.execute('query-cpus-fast'));
  const path = Array.isArray(cpus) ? (cpus[0] as { 'qom-path'?: unknown } | undefined)?.['qom-path'] : undefined;
  if (typeof path !== 'string') return undefined;
  const bits = await unlessRefused(qmp.execute('qom-get', { path, property: 'phys-bits' }));
  return typeof bits === 'number' && bits >= 32 && bits <= 52 ? bits : undefined;
}

async function unlessRefused(answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    if (qmpRefusalOf(error) === undefined) throw error;
    return undefined;
  }
}
