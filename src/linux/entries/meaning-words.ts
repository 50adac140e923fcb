/** What an entry means, human-readable. */
import { hex } from '../../core/address/va.ts';
import type { EntryMeaning } from './entry-meaning.ts';
import type { SwapDevice } from './swap-devices.ts';

/** What is known of the place of an entry beside its value. */
export interface EntryContext {
  /** Whether the area that it is in allows any access; undefined where that is unknown. */
  readonly isAccessible?: boolean | undefined;
  readonly devices?: readonly SwapDevice[] | undefined;
}

/** In a word or two: `swap 0:4711`, `PROT_NONE`, `migrating`. */
export function shortWords(meaning: EntryMeaning, { isAccessible }: EntryContext = {}): string {
  switch (meaning.kind) {
    case 'empty':
      return 'empty';
    case 'swapped':
      return `swap ${meaning.device}:${meaning.slot}`;
    case 'inaccessible':
      return isAccessible === undefined ? 'no access' : isAccessible ? 'NUMA hint' : 'PROT_NONE';
    case 'marker':
      return `marker ${meaning.marks.join(', ')}`.trim();
    default:
      return meaning.kind;
  }
}

/** In a sentence. */
export function longWords(meaning: EntryMeaning, { isAccessible, devices = [] }: EntryContext = {}): string {
  switch (meaning.kind) {
    case 'empty':
      return 'nothing was ever mapped here, or what was has been given back';
    case 'swapped': {
      const path = devices.find(({ number }) => number === meaning.device)?.path;
      const device = path === undefined ? `device ${meaning.device}` : `${path} (device ${meaning.device})`;
      return `swapped out to ${device}, slot ${meaning.slot}`;
    }
    case 'inaccessible': {
      const why =
        isAccessible === undefined
          ? 'PROT_NONE, or a NUMA hint'
          : isAccessible
            ? 'a NUMA hint: the next access finds out who uses the page'
            : 'PROT_NONE';
      return `the page at ${hex(meaning.pa)} is kept, but no access to it is allowed (${why})`;
    }
    case 'migrating':
      return `the page at ${hex(meaning.pa)} is being moved`;
    case 'poisoned':
      return `the memory at ${hex(meaning.pa)} is broken (hardware poison)`;
    case 'device':
      return 'the page is in the memory of a device, or lent to one';
    case 'marker':
      return `no page, only a mark: ${meaning.marks.join(', ') || 'of a kind that is not known'}`;
    case 'changing':
      return `the large page at ${hex(meaning.pa)} is just being changed`;
  }
}
