/** `--consistent`: a live guest is read from an image of one moment, while it runs on. */
import { PtmonError } from '../../core/error.ts';
import type { BackgroundImage } from '../../drivers/qemu/snapshot/background-image.ts';
import type { SourceName } from '../options/source.ts';

export interface ConsistentOptions {
  readonly consistent?: boolean;
}

interface Options extends ConsistentOptions {
  readonly qmp?: string;
  readonly memory?: string;
  readonly ramFile?: string;
}

/**
 * @returns undefined without the option
 * @throws PtmonError as `saveBackgroundImage`; `bad-argument` for options that contradict each other
 */
export async function takeConsistentImage(
  source: SourceName,
  { consistent, qmp, memory = 'auto', ramFile }: Options,
  signal: AbortSignal,
): Promise<BackgroundImage | undefined> {
  if (consistent !== true) return undefined;
  if (source !== undefined) {
    throw new PtmonError(
      'bad-argument',
      `--consistent is for a live guest: ${source} is a file, which does not change`,
    );
  }
  if (qmp === undefined) throw new PtmonError('bad-argument', '--consistent needs --qmp, or --vm');
  if (memory !== 'auto' || ramFile !== undefined) {
    throw new PtmonError('bad-argument', '--consistent reads the image that QEMU saves: drop --memory and --ram-file');
  }
  const { saveBackgroundImage } = await import('../../drivers/qemu/snapshot/background-image.ts');
  return saveBackgroundImage({ qmp, signal });
}
