/** Takes part in a session that watches addresses of a Linux guest: says what entries mean, and nothing else. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { EntryFormat } from '../entries/entry-meaning.ts';
import { withMeanings } from './cause-words.ts';

const NO_WORDS = new Float64Array();

/** A part of a session (`SystemLayer`). */
export class EntryWords {
  readonly #format: EntryFormat;

  constructor(format: EntryFormat) {
    this.#format = format;
  }

  words(): Float64Array {
    return NO_WORDS;
  }

  async update(): Promise<readonly never[]> {
    return [];
  }

  async label(events: readonly MonitorEvent[]): Promise<readonly MonitorEvent[]> {
    return events.map((event) => withMeanings(this.#format, event));
  }
}
