/** Searches memory of a guest. */
import { hex } from '../../../core/address/va.ts';
import { PtmonError } from '../../../core/error.ts';
import { type AbsentPiece, search } from '../../../guest/index.ts';
import type { MapChoice } from '../../../linux/index.ts';
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import { printable } from '../../../sinks/printable.ts';
import type { CommandContext } from '../../context.ts';
import { areasOfOwner, type OwnedMemory, withMemory } from '../../memory/owned-memory.ts';
import type { OptionRange } from '../../options/address-range.ts';
import type { OwnerOptions } from '../../options/guest-memory.ts';
import type { SourceName } from '../../options/source.ts';
import { sizeText } from '../../output/size-text.ts';
import { printStatus } from '../../output/status-lines.ts';
import { EXIT_FAILED, EXIT_INCOMPLETE, EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';

export interface SearchCommandOptions extends OwnerOptions {
  readonly pattern: string;
  readonly hex?: boolean;
  readonly va?: OptionRange;
  readonly map?: MapChoice;
  readonly count?: number;
  readonly json?: boolean;
}

interface Place {
  readonly va: bigint;
  readonly byteLength: bigint;
  /** The area of a process; undefined elsewhere. */
  readonly map: string | undefined;
}

/** Exits with 1 where nothing is found, as grep(1) does, and with 5 where there may be more. @throws PtmonError as `withMemory` */
export function runSearch(source: SourceName, options: SearchCommandOptions, context: CommandContext): Promise<void> {
  const pattern = patternOf(options);
  const { count = Infinity, json } = options;
  return interruptible(context, async (signal) => {
    const lines: string[] = [];
    let [absentBytes, missingBytes] = [0, 0];
    let lacking: string | undefined;
    await withMemory(source, options, { messages: context.messages, signal }, async (owned) => {
      const isWhole = owned.process === undefined && options.va === undefined;
      const { places, lacking: why } = await placesOf(owned, options);
      lacking = why;
      for (const { va, byteLength, map } of places) {
        const onAbsent = (piece: AbsentPiece) => {
          if (map !== undefined) absentBytes += piece.byteLength;
          if (isMissing(piece, isWhole)) missingBytes += piece.byteLength;
        };
        for await (const found of search(owned.memory, pattern, { va, byteLength, signal, onAbsent })) {
          lines.push(
            json === true ? matchJson(found, map) : `${hex(found)}${map === undefined ? '' : `  ${printable(map)}`}\n`,
          );
          if (lines.length >= count) return;
        }
      }
    });
    for (const line of lines) await context.output.write(line);
    if (json === true) await context.output.write(totalsJson(lines.length, missingBytes));
    const isFound = lines.length > 0;
    const notes = [
      ...(isFound ? [] : ['no match']),
      ...(absentBytes === 0 ? [] : [`${sizeText(absentBytes)} of the searched memory is absent`]),
      ...(missingBytes === 0
        ? []
        : [`page tables or memory for ${sizeText(missingBytes)} of the address space are missing from the source`]),
    ];
    await printStatus(context.messages, [...(lacking === undefined ? [] : [lacking]), notes.join('; ')].join('\n'));
    if (missingBytes > 0 || lacking !== undefined) return EXIT_INCOMPLETE;
    return isFound ? EXIT_OK : EXIT_FAILED;
  });
}

/**
 * Whether there may be a match where nothing could be looked at. A kernel maps devices as well, so what it maps outside RAM is missing only
 * from what was asked for.
 */
function isMissing({ absent }: AbsentPiece, isWhole: boolean): boolean {
  return absent === 'no-memory' || (absent === 'not-ram' && !isWhole);
}

function matchJson(va: bigint, map: string | undefined): string {
  return `${JSON.stringify({ v: JSONL_VERSION, kind: 'match', va: hex(va), map: map ?? null })}\n`;
}

function totalsJson(matches: number, missingBytes: number): string {
  return `${JSON.stringify({ v: JSONL_VERSION, kind: 'totals', matches, missingBytes })}\n`;
}

function patternOf({ pattern, hex: isHex }: SearchCommandOptions): Uint8Array | string {
  if (isHex !== true) return pattern;
  const digits = pattern.replace(/^0x/i, '').replaceAll(/[ :]/g, '');
  if (digits !== '' && /^(?:[\da-f]{2})+$/i.test(digits)) return Buffer.from(digits, 'hex');
  throw new PtmonError('bad-argument', `PATTERN ${pattern}: with --hex, write an even number of hexadecimal digits`);
}

async function placesOf(
  owned: OwnedMemory,
  { va, map, physical }: Pick<SearchCommandOptions, 'va' | 'map' | 'physical'>,
): Promise<{ readonly places: readonly Place[]; readonly lacking?: string | undefined }> {
  const { moment, process, linux } = owned;
  if (va !== undefined) return { places: [{ va: va.from, byteLength: va.to - va.from, map: undefined }] };
  if (process?.mm != null && linux !== undefined) {
    const { areas, lacking } = await areasOfOwner(owned, map);
    const places = areas.map(({ start, end, name }) => {
      return { va: start, byteLength: end - start, map: name === '' ? 'anon' : name };
    });
    return { places, lacking };
  }
  const whole = physical === true ? moment.ram : undefined;
  const halves = whole?.map(({ pa, byteLength }) => ({ va: BigInt(pa), byteLength: BigInt(byteLength) }));
  return { places: (halves ?? moment.halves).map((half) => ({ ...half, map: undefined })) };
}
