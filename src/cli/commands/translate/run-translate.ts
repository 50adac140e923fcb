/** Explains addresses, whatever the tables come from. */
import { type Walk, walk } from '../../../core/paging/walk.ts';
import { retry } from '../../../driver/retry.ts';
import { Pacer } from '../../../driver/pacer.ts';
import { Explainer, type LinuxGuest } from '../../../linux/index.ts';
import type { Visit } from '../../snapshot/visit-snapshot.ts';
import { translationJson } from './json.ts';
import { translationLines } from './text.ts';

/**
 * Prints one explanation for each address, with an empty line between two of them where they are for people.
 *
 * @param findLinux called where an address leads nowhere: what that means is the system's to say
 * @throws what the source throws
 */
export async function translate(
  visit: Visit,
  addresses: readonly bigint[],
  json: boolean,
  findLinux: () => Promise<LinuxGuest | undefined>,
): Promise<void> {
  const { memory, remote } = visit.snapshot;
  const { paging, root } = visit.space;
  let explainer: Explainer | undefined;
  const meaningOf = async (found: Walk) => {
    if (found.translates || found.reason !== 'not-present') return undefined;
    const linux = await findLinux();
    if (linux !== undefined) explainer ??= new Explainer(linux);
    return explainer?.explain(found);
  };
  const pacer = new Pacer(visit.work);
  for (const [at, va] of addresses.entries()) {
    if (pacer.isDue) await pacer.turn({ what: 'translating', done: at, total: addresses.length, unit: 'addresses' });
    const found = await retry(() => walk(paging, memory, root, va), { remote, signal: visit.work.signal });
    const meaning = await meaningOf(found);
    if (json) await visit.print(translationJson(paging, found, meaning));
    else await visit.print(`${at > 0 ? '\n' : ''}${translationLines(paging, found, meaning).join('\n')}\n`);
  }
}
