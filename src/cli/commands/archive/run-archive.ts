/** Runs an archiver until it is interrupted. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorText } from '../../../core/error.ts';
import { Archiver } from '../../../fleet/broker/archiver.ts';
import { readArchivePolicy } from '../../../fleet/policy/read-policy.ts';
import type { Streams } from '../../context.ts';
import { printStatus } from '../../output/status-lines.ts';

/** Before it tries again. */
const PAUSE_MS = 1000;

/** @throws PtmonError `bad-argument` for a policy that is invalid */
export async function runArchive(config: string, { messages }: Pick<Streams, 'messages'>, signal: AbortSignal) {
  const { folder, broker, fileSeconds, keepDays } = readArchivePolicy(config);
  const archive = join(folder, 'events');
  const archiver = new Archiver({ archive, broker, everyMs: fileSeconds * 1000, keepDays });
  await printStatus(messages, `Writing to ${archive}. Ctrl-C ends it.`);
  let said: string | undefined;
  try {
    while (!signal.aborted) {
      try {
        const { refused } = await archiver.round(signal);
        if (refused > 0)
          await printStatus(messages, `${refused} messages did not come from an agent, and were removed.`);
        said = undefined;
      } catch (error) {
        // A broker may come back, and a full disk may have room later.
        const problem = errorText(error);
        if (problem !== said) await printStatus(messages, problem);
        said = problem;
        await sleep(PAUSE_MS, undefined, { signal }).catch(() => {});
      }
    }
  } finally {
    await archiver.close();
  }
}
