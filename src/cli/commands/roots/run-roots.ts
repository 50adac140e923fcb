/** Searches physical memory for top-level page tables. */
import { hex } from '../../../core/address/va.ts';
import type { PagingModeName } from '../../../core/paging/modes.ts';
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import { findRoots, type FoundRoot, refuseDroppedGaps } from '../../../snapshot/index.ts';
import type { CommandContext } from '../../context.ts';
import type { LiveOptions, SourceName } from '../../options/source.ts';
import { columns } from '../../output/columns.ts';
import { EXIT_OK } from '../../process/exit-codes.ts';
import { interruptible } from '../../process/interruptible.ts';
import { openSnapshot } from '../../snapshot/open-snapshot.ts';
import { warningLines, withProgress } from '../../snapshot/visit-snapshot.ts';

export interface RootsOptions extends LiveOptions {
  readonly paging?: PagingModeName;
  readonly encryptionMask: bigint | 'auto';
  readonly json?: boolean;
}

/** @throws PtmonError as `openSnapshot` and `findRoots` */
export async function runRoots(source: SourceName, options: RootsOptions, context: CommandContext): Promise<void> {
  const { output, messages } = context;
  await interruptible(context, async (signal) => {
    const { found, description } = await withProgress(messages, signal, async (work, clear) => {
      const snapshot = await openSnapshot(source, options, work);
      try {
        clear();
        await messages.write(warningLines(snapshot));
        await refuseDroppedGaps(snapshot, work);
        const { paging, encryptionMask } = options;
        const modes = { encryptionMask, ...(paging !== undefined && { modes: [paging] }) };
        return { found: await findRoots(snapshot, { ...work, ...modes }), description: snapshot.description };
      } finally {
        await snapshot.close();
      }
    });
    await output.write(options.json === true ? found.map(jsonOf).join('') : textOf(found));
    await messages.write(`${description}\n`);
    return EXIT_OK;
  });
}

function textOf(found: readonly FoundRoot[]): string {
  if (found.length === 0) return 'no roots found\n';
  const rows = [
    ['root', 'paging', 'confidence', 'maps', 'user entries', 'because'],
    ...found.map(({ root, mode, confidence, maps, userEntries, reason, sharing, encryptionMask }) => {
      const others = sharing > 1 && confidence === 'sure' ? `, as ${sharing - 1} others do` : '';
      const encrypted = encryptionMask === undefined ? '' : `; encryption bits ${hex(encryptionMask)}`;
      return [hex(root), mode, confidence, maps, String(userEntries), `${reason}${others}${encrypted}`];
    }),
  ];
  return columns(rows, { gap: 2 })
    .map((line) => `${line}\n`)
    .join('');
}

function jsonOf({ root, encryptionMask, ...rest }: FoundRoot): string {
  const mask = encryptionMask === undefined ? {} : { encryptionMask: hex(encryptionMask) };
  return `${JSON.stringify({ v: JSONL_VERSION, kind: 'root', root: hex(root), ...rest, ...mask })}\n`;
}
