/** Explains addresses, whatever the tables come from. */
import { PtmonError } from '../../core/error.ts';
import type { Paging } from '../../core/paging/format.ts';
import { walk } from '../../core/paging/walk.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import type { TextOutput } from '../../sinks/text-output.ts';
import { fetching } from '../../driver/fetching.ts';
import { guestPaging } from '../live/guest-paging.ts';
import { refuseNonCanonical } from './addresses.ts';
import { translationJson } from './json.ts';
import { translationLines } from './text.ts';

export interface TranslateRequest {
  readonly addresses: readonly bigint[];
  readonly root: 'current' | bigint;
  /** Whose registers say how addresses are translated. */
  readonly vcpu: number;
  readonly json?: boolean;
}

/**
 * Prints one explanation for each address, once all of them are known: whoever reads slowly holds up no guest.
 *
 * @param open is called once
 * @throws PtmonError `non-canonical` for an address that is none in the source's paging, before anything is printed;
 *   `bad-argument` for a vCPU that does not exist; `source-unavailable` where paging is off
 */
export async function translate(
  open: () => Promise<Snapshot>,
  { addresses, root, vcpu, json }: TranslateRequest,
  output: TextOutput,
  signal: AbortSignal,
): Promise<{ readonly description: string }> {
  const source = await open();
  const texts: string[] = [];
  try {
    const { memory, remote } = source;
    const { paging, cr3 } = addressSpace(source, vcpu);
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

function addressSpace({ registers }: Snapshot, vcpu: number): { readonly paging: Paging; readonly cr3: bigint } {
  if (registers === undefined) throw new PtmonError('source-unavailable', 'nobody knows the registers of this source');
  const found = registers.readRegisters(vcpu);
  const paging = guestPaging(found, registers.physicalAddressBits);
  if (paging !== undefined) return { paging, cr3: found.cr3 };
  throw new PtmonError(
    'source-unavailable',
    `paging is off on vCPU ${vcpu} (CR0.PG is 0): it has no page tables yet, each address is a physical one; let the guest boot`,
    { vcpu },
  );
}
