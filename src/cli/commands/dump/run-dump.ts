/** Writes the memory of a process to files. */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../../../driver/make-folder.ts';
import { hex } from '../../../core/address/va.ts';
import { PtmonError } from '../../../core/error.ts';
import { dumpRange } from '../../../guest/index.ts';
import { type MapChoice, type MemoryArea, rightsText } from '../../../linux/index.ts';
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import { printable } from '../../../sinks/printable.ts';
import type { CommandContext } from '../../context.ts';
import { absentLine } from '../../memory/absent-text.ts';
import { areasOfOwner, type OwnedMemory, withMemory } from '../../memory/owned-memory.ts';
import type { OwnerOptions } from '../../options/guest-memory.ts';
import type { SourceName } from '../../options/source.ts';
import { sizeText } from '../../output/size-text.ts';
import { EXIT_INCOMPLETE, EXIT_OK } from '../../exit/exit-codes.ts';
import { printStatus } from '../../output/status-lines.ts';
import { interruptible } from '../../exit/interruptible.ts';

export interface DumpCommandOptions extends OwnerOptions {
  readonly map?: MapChoice;
  readonly output: string;
}

/** @throws PtmonError as `withMemory`, `bad-argument` where no area fits, `write-failed` where a file cannot be written */
export function runDump(source: SourceName, options: DumpCommandOptions, context: CommandContext): Promise<void> {
  return interruptible(context, async (signal) => {
    const dumped: DumpedArea[] = [];
    const notes: string[] = [];
    await withMemory(source, options, { messages: context.messages, signal }, async (owned) => {
      const { areas, lacking } = await areasOfOwner(owned, options.map);
      if (lacking !== undefined) notes.push(lacking);
      const folder = options.output;
      const indexPath = join(folder, 'index.jsonl');
      await orCannotWrite(folder, signal, async () => makeFolder(folder));
      const index = await orCannotWrite(indexPath, signal, () => open(indexPath, 'wx'));
      try {
        for (const area of areas) dumped.push(await dumpArea(area, { folder, index, owned, signal }));
      } finally {
        await index.close();
      }
    });
    for (const { line } of dumped) await context.output.write(line);
    const missing = dumped.reduce((sum, { missingBytes }) => sum + missingBytes, 0);
    const what = `page tables or memory for ${sizeText(missing)} of the address space are missing from the source; index.jsonl names them`;
    if (missing > 0) notes.push(what);
    await printStatus(context.messages, notes.join('\n'));
    return notes.length === 0 ? EXIT_OK : EXIT_INCOMPLETE;
  });
}

interface Dump {
  readonly folder: string;
  readonly index: FileHandle;
  readonly owned: OwnedMemory;
  readonly signal: AbortSignal;
}

interface DumpedArea {
  readonly line: string;
  /** What the process may have in memory, and the source has not. */
  readonly missingBytes: number;
}

/** Writes an area and its line of the index. */
async function dumpArea(area: MemoryArea, { folder, index, owned, signal }: Dump): Promise<DumpedArea> {
  const file = `${area.start.toString(16)}-${area.end.toString(16)}.bin`;
  const path = join(folder, file);
  const range = { va: area.start, byteLength: area.end - area.start };
  const { presentBytes, absent } = await orCannotWrite(path, signal, () =>
    dumpRange(owned.memory, { ...range, path, signal }),
  );
  const missing = absent.map((piece) => ({
    va: hex(piece.va),
    byteLength: piece.byteLength,
    why: absentLine(piece, owned),
  }));
  await orCannotWrite(join(folder, 'index.jsonl'), signal, () => index.appendFile(indexLine(area, file, missing)));
  const size = `${sizeText(presentBytes)} of ${sizeText(Number(range.byteLength))}`;
  const missingBytes = absent
    .filter((piece) => piece.absent === 'no-memory' || piece.absent === 'not-ram')
    .reduce((sum, piece) => sum + piece.byteLength, 0);
  return { line: `${file}  ${rightsText(area.rights)}  ${size}  ${printable(area.name)}\n`, missingBytes };
}

async function orCannotWrite<T>(path: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof PtmonError || signal.aborted) throw error;
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST';
    const why = isThere ? 'exists already: give another folder' : (error as Error).message;
    throw new PtmonError('write-failed', `--output ${path}: ${why}`);
  }
}

function indexLine({ start, end, rights, name }: MemoryArea, file: string, absent: readonly object[]): string {
  const area = { va: hex(start), byteLength: Number(end - start), rights: rightsText(rights), name, file, absent };
  return `${JSON.stringify({ v: JSONL_VERSION, kind: 'area', ...area })}\n`;
}
