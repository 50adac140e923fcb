/** Why a page cannot be read, human-readable: where its walk stops, and what its entry means to the guest's Linux. */
import type { StopReason, Walk } from '../../core/paging/walk.ts';
import { type LinuxGuest, longWords } from '../../linux/index.ts';

/** Why a page cannot be read: where its walk stops, or that its frame is not RAM. */
export type AbsentReason = StopReason | 'not-ram';

interface Absence {
  readonly absent: AbsentReason;
  /** Its last step is the entry that does not translate. */
  readonly walk: Walk;
}

const REASONS: Readonly<Record<AbsentReason, string>> = {
  'not-present': 'no page is present',
  'reserved-bit': 'an entry has a reserved bit set',
  'no-memory': 'a page table is outside RAM, or is not in the file',
  'non-canonical': 'the address is not canonical',
  'not-ram': 'the frame is not RAM, or is not in the file',
};

/** @param linux names the swap slot of a page that is swapped out, and what else an entry that is not present means */
export function absentReason({ absent, walk }: Absence, linux?: Pick<LinuxGuest, 'meaningOf'>): string {
  const last = walk.steps.at(-1);
  const meaning = absent === 'not-present' && last !== undefined ? linux?.meaningOf(last.value, last.level) : undefined;
  return meaning === undefined || meaning.kind === 'empty' ? REASONS[absent] : longWords(meaning, {});
}
