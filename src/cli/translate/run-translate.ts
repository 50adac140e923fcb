/** Explains addresses, whatever the tables come from. */
import { walk } from '../../core/paging/walk.ts';
import type { TextOutput } from '../../sinks/text-output.ts';
import { fetching } from '../../drivers/qemu/memory/index.ts';
import { refuseNonCanonical } from './addresses.ts';
import { translationJson } from './json.ts';
import type { TableSource } from './table-source.ts';
import { translationLines } from './text.ts';

export interface TranslateRequest {
  readonly addresses: readonly bigint[];
  readonly root: 'current' | bigint;
  readonly json?: boolean;
}

/**
 * Prints one explanation for each address, once all of them are known: whoever reads slowly holds up no guest.
 *
 * @param open is called once
 * @throws PtmonError `non-canonical` for an address that is none in the source's paging, before anything is printed
 */
export async function translate(
  open: () => Promise<TableSource>,
  { addresses, root, json }: TranslateRequest,
  output: TextOutput,
  signal: AbortSignal,
): Promise<{ readonly description: string }> {
  const source = await open();
  const texts: string[] = [];
  try {
    const { paging, memory, remote, cr3 } = source;
    refuseNonCanonical(paging, addresses);
    for (const va of addresses) {
      const found = await fetching(remote, () => walk(paging, memory, root === 'current' ? cr3 : root, va), signal);
      texts.push(json === true ? translationJson(paging, found) : `${translationLines(paging, found).join('\n')}\n`);
    }
  } finally {
    await source.close();
  }
  await output.write(texts.join(json === true ? '' : '\n'));
  return { description: source.description };
}
