/** Takes part in a session that watches addresses of a Linux guest: says what entries mean, and nothing else. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { EntryFormat } from '../entries/entry-meaning.ts';
import { symbolText, type SymbolTable } from '../symbols/symbol-table.ts';
import { withMeanings } from './cause-words.ts';

const NO_WORDS = new Float64Array();

/** A part of a session (`SystemLayer`). */
export class EntryWords {
  readonly #format: EntryFormat;
  readonly #symbols: SymbolTable | undefined;

  /** @param symbols of the kernel, to tag events with what their addresses are called */
  constructor(format: EntryFormat, symbols?: SymbolTable) {
    this.#format = format;
    this.#symbols = symbols;
  }

  words(): Float64Array {
    return NO_WORDS;
  }

  async update(): Promise<readonly never[]> {
    return [];
  }

  async label(events: readonly MonitorEvent[]): Promise<readonly MonitorEvent[]> {
    return events.map((event) => this.#named(withMeanings(this.#format, event)));
  }

  #named(event: MonitorEvent): MonitorEvent {
    const named = event.kind === 'root-gone' ? undefined : this.#symbols?.at(event.va);
    return named === undefined ? event : { ...event, tags: [...event.tags, symbolText(named)] };
  }
}
