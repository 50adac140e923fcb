/** Writes the memory of a process to files. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hex } from '../../../core/address/va.ts';
import { PtmonError } from '../../../core/error.ts';
import { dumpRange } from '../../../guest/index.ts';
import { areasOfMap, type MapChoice, type MemoryArea, rightsText } from '../../../linux/index.ts';
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import { printable } from '../../../sinks/printable.ts';
import type { CommandContext } from '../../context.ts';
import { absentLine } from '../../memory/absent-text.ts';
import { type OwnedMemory, withMemory } from '../../memory/owned-memory.ts';
import type { OwnerOptions } from '../../options/guest-memory.ts';
import type { SourceName } from '../../options/source.ts';
import { sizeText } from '../../output/size-text.ts';
import { EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';

export interface DumpCommandOptions extends OwnerOptions {
  readonly map?: MapChoice;
  readonly output: string;
}

/** @throws PtmonError as `withMemory`, `bad-argument` where no area fits, `write-failed` where a file cannot be written */
export function runDump(source: SourceName, options: DumpCommandOptions, context: CommandContext): Promise<void> {
  const { output: folder, map } = options;
  return interruptible(context, async (signal) => {
    const index: string[] = [];
    const lines: string[] = [];
    await withMemory(source, options, signal, async (owned) => {
      await mkdir(folder, { recursive: true }).catch((error: unknown) => {
        throw new PtmonError('write-failed', `--output ${folder}: ${messageOf(error)}`);
      });
      for (const area of await areasOf(owned, map)) {
        const name = `${area.start.toString(16)}-${area.end.toString(16)}.bin`;
        const range = { va: area.start, byteLength: area.end - area.start };
        const path = join(folder, name);
        const { presentBytes, absent } = await dumpRange(owned.memory, { ...range, path, signal }).catch(
          (error: unknown) => {
            if (error instanceof PtmonError || signal.aborted) throw error;
            throw new PtmonError('write-failed', `${path}: ${messageOf(error)}`);
          },
        );
        index.push(
          indexLine(
            area,
            name,
            absent.map((piece) => ({ va: hex(piece.va), byteLength: piece.byteLength, why: absentLine(piece, owned) })),
          ),
        );
        lines.push(
          `${name}  ${rightsText(area.rights)}  ${sizeText(presentBytes)} of ${sizeText(Number(range.byteLength))}  ${printable(area.name)}\n`,
        );
      }
    });
    await writeFile(join(folder, 'index.jsonl'), index.join(''));
    for (const line of lines) await context.output.write(line);
    return EXIT_OK;
  });
}

async function areasOf({ process, linux }: OwnedMemory, map: MapChoice | undefined): Promise<readonly MemoryArea[]> {
  const { areas } = await linux!.areasOf(process!.mm!);
  return areasOfMap(`${process!.command}[${process!.pid}]`, areas, map);
}

function indexLine({ start, end, rights, name }: MemoryArea, file: string, absent: readonly object[]): string {
  const area = { va: hex(start), byteLength: Number(end - start), rights: rightsText(rights), name, file, absent };
  return `${JSON.stringify({ v: JSONL_VERSION, kind: 'area', ...area })}\n`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
