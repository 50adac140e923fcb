/** Opens the source of a command that examines a guest at one moment: a file, by its content, or a live guest, by its sockets. */
import { stat } from 'node:fs/promises';
import { PtmonError } from '../../core/error.ts';
import type { LongWorkOptions } from '../../driver/pacer.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import type { BackgroundImage } from '../../drivers/qemu/snapshot/background-image.ts';
import { type LiveOptions, requireQmp, type SourceName } from '../options/source.ts';
import { type ConsistentOptions, takeConsistentImage } from './consistent-image.ts';

/**
 * @param source a path, or undefined for the live guest
 * @throws PtmonError as `openDump`, `openTraceSnapshot` and `openQemuSnapshot`; `bad-argument` for options that contradict each other
 */
export async function openSnapshot(
  source: SourceName,
  options: LiveOptions & ConsistentOptions,
  work: LongWorkOptions & { readonly signal: AbortSignal },
): Promise<Snapshot> {
  const image = await takeConsistentImage(source, options, work.signal);
  if (image !== undefined) return openImage(image, work);
  const { qmp, gdb, memory = 'auto', ramFile, ramMap } = options;
  if (source !== undefined) return openFile(source, ramMap, work);
  requireQmp(qmp);
  if (ramMap !== undefined) {
    throw new PtmonError(
      'bad-argument',
      '--ram-map is for raw memory files: for a live guest, QEMU reports where RAM is',
    );
  }
  const { openQemuSnapshot } = await import('../../drivers/qemu/snapshot/open-snapshot.ts');
  const live = { qmp, ...(gdb !== undefined && { gdb }), memory };
  return openQemuSnapshot({ ...live, ...(ramFile !== undefined && { ramFile }), signal: work.signal });
}

/** The image goes when it is closed. */
async function openImage(image: BackgroundImage, work: LongWorkOptions): Promise<Snapshot> {
  try {
    const snapshot = await openFile(image.path, undefined, work);
    const { stoppedMs } = image;
    const stopped = stoppedMs === undefined ? '' : `; QEMU had the guest stopped for ${stoppedMs} ms`;
    const close = () => snapshot.close().finally(() => image.remove());
    return { ...snapshot, description: `an image of the running guest: ${snapshot.description}${stopped}`, close };
  } catch (error) {
    image.remove();
    throw error;
  }
}

/** Loads only the format that the file has. */
async function openFile(path: string, ramMap: string | undefined, work: LongWorkOptions): Promise<Snapshot> {
  if (ramMap === undefined) {
    const { isTraceFile, openTraceSnapshot } = await import('../../drivers/trace/index.ts');
    if (isTraceFile(path)) return openTraceSnapshot(path);
  }
  const { openDump } = await import('../../drivers/dump/index.ts');
  if (ramMap !== undefined) return openDump(path, { ...work, ramMap });
  try {
    return await openDump(path, work);
  } catch (error) {
    if (error instanceof PtmonError && error.code === 'bad-argument') await refuseWithMap(path, work);
    throw error;
  }
}

/** A raw file that is too large to lie in one piece: its page tables may tell where its pieces belong. @throws PtmonError with that map */
async function refuseWithMap(path: string, work: LongWorkOptions): Promise<void> {
  const { openDump } = await import('../../drivers/dump/index.ts');
  const { droppedGapsError, findDroppedGaps } = await import('../../snapshot/index.ts');
  const { size } = await stat(path);
  const dump = await openDump(path, { ...work, ramMap: `0x0+${Math.floor(size / 4096) * 4096}@0` });
  try {
    const found = await findDroppedGaps({ ...dump, rawBytes: size }, work);
    if (found !== undefined && found.pieces.length > 0) throw droppedGapsError(found, size);
  } finally {
    await dump.close();
  }
}
