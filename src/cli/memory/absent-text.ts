/** What is printed of pages that cannot be read. */
import { hex } from '../../core/address/va.ts';
import { type AbsentPiece, absentReason } from '../../guest/index.ts';
import { sizeText } from '../output/size-text.ts';
import type { OwnedMemory } from './owned-memory.ts';

/** One line, without its end: where, how much, and why; of a Linux process also what the entry means (swap, migration, …). */
export function absentLine(piece: AbsentPiece, { linux }: OwnedMemory): string {
  return `${hex(piece.va)}  ${sizeText(piece.byteLength)} absent: ${absentReason(piece, linux)}`;
}
