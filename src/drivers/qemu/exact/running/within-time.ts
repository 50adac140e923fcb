/** A time limit for detaching from a gdbstub. */
import { setTimeout } from 'node:timers/promises';
import { PtmonError } from '../../../../core/error.ts';

/** @throws PtmonError where `work` takes longer, after `giveUp`; what `work` throws */
export async function withinTime(work: Promise<void>, ms: number, giveUp: () => void): Promise<void> {
  const late = new AbortController();
  const limit = setTimeout(ms, undefined, { signal: late.signal, ref: false }).then(
    () => {
      giveUp();
      throw new PtmonError('source-unavailable', `the gdbstub did not detach within ${ms} ms`);
    },
    () => {},
  );
  work.catch(() => {});
  try {
    await Promise.race([work, limit]);
  } finally {
    late.abort();
  }
}
