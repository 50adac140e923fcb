/** Explains addresses, whatever the tables come from. */
import { walk } from '../../core/paging/walk.ts';
import { fetching } from '../../driver/fetching.ts';
import type { Visit } from '../snapshot/visit-snapshot.ts';
import { refuseNonCanonical } from './addresses.ts';
import { translationJson } from './json.ts';
import { translationLines } from './text.ts';

/**
 * Prints one explanation for each address, with an empty line between two of them where they are for people.
 *
 * @throws PtmonError `non-canonical` for an address that is none in the source's paging, before anything is printed
 */
export async function translate(visit: Visit, addresses: readonly bigint[], json: boolean): Promise<void> {
  const { memory, remote } = visit.snapshot;
  const { paging, root } = visit.space;
  refuseNonCanonical(paging, addresses);
  for (const [at, va] of addresses.entries()) {
    const found = await fetching(remote, () => walk(paging, memory, root, va), visit.work.signal);
    if (json) await visit.print(translationJson(paging, found));
    else await visit.print(`${at > 0 ? '\n' : ''}${translationLines(paging, found).join('\n')}\n`);
  }
}
