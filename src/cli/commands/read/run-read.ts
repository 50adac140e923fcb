/** Prints memory of a guest. */
import { PtmonError } from '../../../core/error.ts';
import { MAX_READ_BYTES } from '../../../guest/index.ts';
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

interface Present {
  readonly va: bigint;
  readonly bytes: Uint8Array;
}

export interface ReadOptions extends OwnerOptions {
  readonly range: OptionRange;
  readonly hasLength: boolean;
  readonly raw?: boolean;
  readonly string?: boolean;
}

/** @throws PtmonError as `withMemory`, and `VirtualMemory.read` for a text */
export function runRead(source: SourceName, options: ReadOptions, context: CommandContext): Promise<void> {
  const { range, hasLength, string: isText } = options;
  const byteLength = hasLength ? range.to - range.from : DEFAULT_BYTES;
  return interruptible(context, async (signal) => {
    // Printed once the guest runs on: a slow reader holds up no guest.
    const present: Present[] = [];
    const absent: string[] = [];
    let text: string | undefined;
    await withMemory(source, options, { messages: context.messages, signal }, async (owned) => {
      if (isText === true) {
        text = await owned.memory.readString(range.from, hasLength ? Number(byteLength) : undefined);
      } else {
        await readPieces(owned, { va: range.from, byteLength }, { present, absent });
      }
    });
    if (text !== undefined) await context.output.write(`${printable(text)}\n`);
    for (const piece of present) {
      for (const chunk of shown(piece, options)) await context.output.write(chunk);
    }
    for (const line of absent) await context.messages.write(`ptmon: ${line}\n`);
    return absent.length === 0 ? EXIT_OK : EXIT_INCOMPLETE;
  });
}

async function readPieces(
  owned: OwnedMemory,
  { va, byteLength }: { readonly va: bigint; readonly byteLength: bigint },
  { present, absent }: { readonly present: Present[]; readonly absent: string[] },
): Promise<void> {
  let bytes = 0;
  for await (const piece of owned.memory.pieces(va, byteLength)) {
    if ('absent' in piece) absent.push(absentLine(piece, owned));
    else present.push(piece);
    bytes += 'absent' in piece ? 0 : piece.bytes.length;
    // What is there is kept until the guest runs on.
    if (bytes <= MAX_READ_BYTES) continue;
    const what = `more than ${MAX_READ_BYTES / 2 ** 20} MiB are present in this range`;
    throw new PtmonError('bad-argument', `${what}: read a smaller range; ptmon dump saves whole areas of a process`);
  }
}

function shown({ va, bytes }: Present, { raw }: ReadOptions): Iterable<string | Uint8Array> {
  return raw === true ? [bytes] : hexdump(va, bytes);
}
