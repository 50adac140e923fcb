/** What is printed of pages that cannot be read. */
import { hex } from '../../core/address/va.ts';
import type { AbsentPiece } from '../../guest/index.ts';
import { longWords } from '../../linux/index.ts';
import { sizeText } from '../output/size-text.ts';
import type { OwnedMemory } from './owned-memory.ts';

const REASONS: Readonly<Record<AbsentPiece['absent'], string>> = {
  'not-present': 'no page is present',
  'reserved-bit': 'an entry has a reserved bit set',
  'no-memory': 'a page table lies outside RAM',
  'non-canonical': 'the address is not canonical',
  'not-ram': 'the frame is not RAM',
};

/** One line, without its end: where, how much, and why; of a Linux process also what the entry means (swap, migration, …). */
export function absentLine({ va, byteLength, absent, walk }: AbsentPiece, { linux }: OwnedMemory): string {
  const last = walk.steps.at(-1);
  const meaning = absent === 'not-present' && last !== undefined ? linux?.meaningOf(last.value, last.level) : undefined;
  const why = meaning === undefined || meaning.kind === 'empty' ? REASONS[absent] : longWords(meaning, {});
  return `${hex(va)}  ${sizeText(byteLength)} absent: ${why}`;
}
