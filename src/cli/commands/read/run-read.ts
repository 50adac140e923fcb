/** Prints memory of a guest. */
import { printable } from '../../../sinks/printable.ts';
import type { CommandContext } from '../../context.ts';
import { absentLine } from '../../memory/absent-text.ts';
import { type OwnedMemory, withMemory } from '../../memory/owned-memory.ts';
import type { OptionRange } from '../../options/address-range.ts';
import type { OwnerOptions } from '../../options/guest-memory.ts';
import type { SourceName } from '../../options/source.ts';
import { EXIT_INCOMPLETE, EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';
import { hexdump } from './hexdump.ts';

const DEFAULT_BYTES = 256n;

export interface ReadOptions extends OwnerOptions {
  readonly range: OptionRange;
  readonly hasLength: boolean;
  readonly raw?: boolean;
  readonly string?: boolean;
  readonly physical?: boolean;
}

/** @throws PtmonError as `withMemory`, and `VirtualMemory.read` for a text */
export function runRead(source: SourceName, options: ReadOptions, context: CommandContext): Promise<void> {
  const { range, hasLength, string: isText, physical } = options;
  const byteLength = hasLength ? range.to - range.from : DEFAULT_BYTES;
  return interruptible(context, async (signal) => {
    // Printed once the guest runs on: a slow reader holds up no guest.
    const chunks: (string | Uint8Array)[] = [];
    const absent: string[] = [];
    await withMemory(source, options, signal, async (owned) => {
      if (physical === true) {
        const bytes = await owned.moment.readPhysical(Number(range.from), Number(byteLength));
        chunks.push(...shown(range.from, bytes, options));
      } else if (isText === true) {
        const text = await owned.memory.readString(range.from, hasLength ? Number(byteLength) : undefined);
        chunks.push(`${printable(text)}\n`);
      } else {
        await readPieces(owned, { va: range.from, byteLength }, options, { chunks, absent });
      }
    });
    for (const chunk of chunks) await context.output.write(chunk);
    for (const line of absent) await context.messages.write(`ptmon: ${line}\n`);
    return absent.length === 0 ? EXIT_OK : EXIT_INCOMPLETE;
  });
}

async function readPieces(
  owned: OwnedMemory,
  { va, byteLength }: { readonly va: bigint; readonly byteLength: bigint },
  options: ReadOptions,
  { chunks, absent }: { readonly chunks: (string | Uint8Array)[]; readonly absent: string[] },
): Promise<void> {
  for await (const piece of owned.memory.pieces(va, byteLength)) {
    if ('absent' in piece) absent.push(absentLine(piece, owned));
    else chunks.push(...shown(piece.va, piece.bytes, options));
  }
}

function shown(va: bigint, bytes: Uint8Array, { raw }: ReadOptions): Iterable<string | Uint8Array> {
  return raw === true ? [bytes] : hexdump(va, bytes);
}
