/** Takes part in a session that watches addresses of a Linux guest: says what entries mean, and nothing else. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { SwapTypes } from '../entries/swap-types.ts';
import { withMeanings } from './cause-words.ts';

const NO_WORDS = new Float64Array();

/** A part of a session (`SystemLayer`). */
export class EntryWords {
  readonly #types: SwapTypes;

  constructor(types: SwapTypes) {
    this.#types = types;
  }

  words(): Float64Array {
    return NO_WORDS;
  }

  async update(): Promise<readonly never[]> {
    return [];
  }

  async label(events: readonly MonitorEvent[]): Promise<readonly MonitorEvent[]> {
    return events.map((event) => withMeanings(this.#types, event));
  }
}
