/** Several system layers as one: each hears of all that happens, and gives its own name to what concerns it. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import { joined } from '../../core/struct/address-list.ts';
import type { SourceEvent } from '../../driver/driver.ts';
import type { SystemLayer } from '../../session/index.ts';

/** What a handle knows of the guest's system, and what it does with its own events. */
export interface EventLayer extends SystemLayer {
  /** Called at each stop with the events that the layer has labelled, if any. The guest stays stopped until it returns. */
  take(events: readonly MonitorEvent[]): Promise<void>;
}

export class Layers implements SystemLayer {
  readonly #layers = new Set<EventLayer>();
  readonly #onStop: () => void;

  /** @param onStop called when the guest has stopped, before anything is done about it */
  constructor(onStop: () => void) {
    this.#onStop = onStop;
  }

  add(layer: EventLayer): void {
    this.#layers.add(layer);
  }

  remove(layer: EventLayer): void {
    this.#layers.delete(layer);
  }

  get isEmpty(): boolean {
    return this.#layers.size === 0;
  }

  get blindTo(): string | undefined {
    const texts = [...this.#layers].map((layer) => layer.blindTo).filter((text) => text !== undefined);
    return texts.length === 0 ? undefined : [...new Set(texts)].join('; ');
  }

  words(): Float64Array {
    return joined(...[...this.#layers].map((layer) => layer.words()));
  }

  async update(batch: readonly SourceEvent[]): Promise<readonly SourceEvent[]> {
    this.#onStop();
    const said: SourceEvent[] = [];
    const gone = new Set<number>();
    for (const layer of [...this.#layers]) {
      for (const event of await layer.update(batch)) {
        // Two layers may watch one process: its end is one event.
        if (event.kind === 'root-gone' && gone.has(event.root)) continue;
        if (event.kind === 'root-gone') gone.add(event.root);
        said.push(event);
      }
    }
    return said;
  }

  /** The session keeps the monitor's own events; each layer gets its labelled ones. */
  async label(events: readonly MonitorEvent[]): Promise<readonly MonitorEvent[]> {
    for (const layer of [...this.#layers]) {
      // One before may have stopped it.
      if (this.#layers.has(layer)) await layer.take(await layer.label(events));
    }
    return events;
  }
}
