/** Searches physical memory for top-level page tables. */
import { hex } from '../../../core/address/va.ts';
import type { PagingModeName } from '../../../core/paging/modes.ts';
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import type { Snapshot } from '../../../driver/snapshot.ts';
import type { Process } from '../../../linux/index.ts';
import { printable } from '../../../sinks/printable.ts';
import {
  findAddressSpace,
  findRoots,
  type FoundRoot,
  refuseDroppedGaps,
  truncationText,
} from '../../../snapshot/index.ts';
import type { CommandContext } from '../../context.ts';
import { type LiveOptions, type SourceName, spaceRequest } from '../../options/source.ts';
import { columns } from '../../output/columns.ts';
import { EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';
import { openSnapshot } from '../../snapshot/open-snapshot.ts';
import { LinuxView } from '../../snapshot/linux-view.ts';
import { type Visit, warningLines, withProgress } from '../../snapshot/visit-snapshot.ts';
import { printStatus } from '../../output/status-lines.ts';

export interface RootsOptions extends LiveOptions {
  readonly paging?: PagingModeName;
  readonly encryptionMask: bigint | 'auto';
  readonly json?: boolean;
  /** Only the roots of a process of a Linux guest. */
  readonly pid?: number;
  readonly comm?: string;
}

/** @throws PtmonError as `openSnapshot` and `findRoots` */
export async function runRoots(source: SourceName, options: RootsOptions, context: CommandContext): Promise<void> {
  const { output, messages } = context;
  await interruptible(context, async (signal) => {
    const { found, process, description } = await withProgress(messages, signal, async (work, clear) => {
      const snapshot = await openSnapshot(source, options, work);
      try {
        clear();
        await printStatus(messages, warningLines(snapshot));
        const process = await processOf(snapshot, options, work);
        if (process !== undefined) return { found: [], process, description: snapshot.description };
        await refuseDroppedGaps(snapshot, work);
        const { paging, encryptionMask } = options;
        const modes = { encryptionMask, ...(paging !== undefined && { modes: [paging] }) };
        const found = await findRoots(snapshot, { ...work, ...modes });
        const [best] = found;
        const truncation = best === undefined ? '' : truncationText(best);
        return { found, process: undefined, description: `${snapshot.description}${truncation}` };
      } finally {
        await snapshot.close();
      }
    });
    if (process !== undefined) await output.write(processText(process, options.json === true));
    else await output.write(options.json === true ? found.map(jsonOf).join('') : textOf(found));
    await printStatus(messages, description);
    return EXIT_OK;
  });
}

/** The process that the options choose; undefined without such an option. @throws PtmonError as `LinuxView` */
async function processOf(
  snapshot: Snapshot,
  { pid, comm, paging, encryptionMask }: RootsOptions,
  work: Visit['work'],
): Promise<Process | undefined> {
  if (pid === undefined && comm === undefined) return undefined;
  const options = {
    root: 'current',
    vcpu: 0,
    encryptionMask,
    ...(pid !== undefined && { pid }),
    ...(comm !== undefined && { comm }),
    ...(paging !== undefined && { paging }),
  } as const;
  const space = await findAddressSpace(snapshot, spaceRequest(options), work);
  return new LinuxView({ snapshot, space, options, work }).process();
}

/** Of a process, the kernel's table first; the second one is that of user mode under page-table isolation. */
function processText({ pid, command, roots }: Process, isJson: boolean): string {
  return roots
    .map((root, at) => {
      const halves = at === 0 ? 'kernel' : 'user';
      return isJson
        ? `${JSON.stringify({ v: JSONL_VERSION, kind: 'process-root', root: hex(root), pid, command, mode: halves })}\n`
        : `${hex(root)} ${printable(command)}[${pid}]${at === 0 ? '' : ' (user mode)'}\n`;
    })
    .join('');
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
