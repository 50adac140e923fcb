/** Asks a guest's Linux, wherever the guest comes from. */
import type { Snapshot } from '../../driver/snapshot.ts';
import { kernelCache, type LinuxGuest, openLinux } from '../../linux/index.ts';
import { findAddressSpace } from '../../snapshot/index.ts';
import { type SpaceOptions, spaceRequest } from '../snapshot/source-options.ts';
import type { TextOutput } from '../../sinks/text-output.ts';

/**
 * Opens a guest, asks, lets go of it, and prints then: whoever reads slowly holds up no guest.
 *
 * @param ask answers what to print, and what of the guest was not as it should be
 * @throws PtmonError as `openLinux`, and what `open` and `ask` throw
 */
export async function askLinux(
  open: () => Promise<Snapshot>,
  options: SpaceOptions,
  ask: (linux: LinuxGuest) => Promise<{ readonly text: string; readonly faults: readonly string[] }>,
  { output, messages }: { readonly output: TextOutput; readonly messages: TextOutput },
  signal: AbortSignal,
): Promise<void> {
  const source = await open();
  let answer;
  let kernel;
  try {
    const isTold = options.root !== 'current' || options.paging !== undefined;
    const isKnown = source.registers !== undefined || source.kernelRoot !== undefined;
    const space =
      isTold || !isKnown ? { space: await findAddressSpace(source, spaceRequest(options), { signal }) } : {};
    const linux = await openLinux(source, { cache: kernelCache(), signal, ...space });
    answer = await ask(linux);
    const { base, buildId = 'unknown' } = linux.kernel;
    kernel = `Linux at 0x${base.toString(16)}, build ${buildId}`;
  } finally {
    await source.close();
  }
  await output.write(answer.text);
  await messages.write(`${kernel}; ${source.description}\n`);
  for (const fault of answer.faults) await messages.write(`not as it should be: ${fault}\n`);
}
