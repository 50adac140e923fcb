/** Explains addresses, whatever the tables come from. */
import { walk } from '../../core/paging/walk.ts';
import { fetching } from '../../driver/fetching.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import type { TextOutput } from '../../sinks/text-output.ts';
import { addressSpaceOf, type AddressSpaceRequest } from '../../snapshot/index.ts';
import { refuseNonCanonical } from './addresses.ts';
import { translationJson } from './json.ts';
import { translationLines } from './text.ts';

export interface TranslateRequest {
  readonly addresses: readonly bigint[];
  readonly space: AddressSpaceRequest;
  readonly json?: boolean;
}

/**
 * Prints one explanation for each address, once all of them are known: whoever reads slowly holds up no guest.
 *
 * @param open is called once
 * @throws PtmonError `non-canonical` for an address that is none in the source's paging, before anything is printed; as
 *   `addressSpaceOf`
 */
export async function translate(
  open: () => Promise<Snapshot>,
  { addresses, space, json }: TranslateRequest,
  output: TextOutput,
  signal: AbortSignal,
): Promise<{ readonly description: string }> {
  const source = await open();
  const texts: string[] = [];
  try {
    const { memory, remote } = source;
    const { paging, root } = addressSpaceOf(source, space);
    refuseNonCanonical(paging, addresses);
    for (const va of addresses) {
      const found = await fetching(remote, () => walk(paging, memory, root, va), signal);
      texts.push(json === true ? translationJson(paging, found) : `${translationLines(paging, found).join('\n')}\n`);
    }
  } finally {
    await source.close();
  }
  await output.write(texts.join(json === true ? '' : '\n'));
  return { description: source.description };
}
