/** Checks whether a KVM works on this host, by running a guest on it. */
import { tryKvm } from '../../../drivers/qemu/index.ts';
import { type Check, failedBy, skipped } from './checks.ts';

const NEEDLESS = 'without it QEMU runs guests by TCG (-accel tcg), for which ptmon has watchpoints without limit';

export async function checkKvm(signal: AbortSignal): Promise<Check> {
  try {
    const trial = await tryKvm({ signal });
    if (trial.works) return { name: 'kvm', outcome: 'ok', detail: 'works: it ran a guest of a few instructions' };
    return { name: 'kvm', outcome: 'missing', detail: `does not work: ${trial.detail}; ${NEEDLESS}` };
  } catch (error) {
    const failed = failedBy('kvm', error);
    return skipped('kvm', `not tried: ${failed.detail}`);
  }
}
