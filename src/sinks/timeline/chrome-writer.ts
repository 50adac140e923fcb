/** Chrome's Trace Event Format as JSON, for chrome://tracing, Perfetto and others. */
import type { TimelineFacts, TimelineWriter } from './timeline-writer.ts';

/** Counters belong to the guest as a whole. */
const GUEST = 0;

export class ChromeWriter implements TimelineWriter {
  #text = '{"displayTimeUnit":"ms","traceEvents":[';
  #isFirst = true;
  readonly #groups = new Map<number, number>();
  readonly #counters = new Map<number, string>();

  group(id: number, name: string, pid: number | undefined): void {
    this.#add({ ph: 'M', name: 'process_name', pid: id, args: { name } });
    if (pid !== undefined) this.#add({ ph: 'M', name: 'process_labels', pid: id, args: { labels: `pid ${pid}` } });
  }

  track(id: number, group: number, name: string): void {
    this.#groups.set(id, group);
    this.#add({ ph: 'M', name: 'thread_name', pid: group, tid: id, args: { name } });
  }

  counter(id: number, name: string): void {
    this.#counters.set(id, name);
  }

  begin(track: number, timeUs: number, name: string, facts: TimelineFacts): void {
    this.#add({ ph: 'B', cat: 'ptmon', name, ts: timeUs, ...this.#placeOf(track), args: facts });
  }

  end(track: number, timeUs: number): void {
    this.#add({ ph: 'E', ts: timeUs, ...this.#placeOf(track) });
  }

  instant(track: number, timeUs: number, name: string, facts: TimelineFacts): void {
    this.#add({ ph: 'i', s: 't', cat: 'ptmon', name, ts: timeUs, ...this.#placeOf(track), args: facts });
  }

  count(counter: number, timeUs: number, value: number): void {
    this.#add({ ph: 'C', name: this.#counters.get(counter) ?? '', ts: timeUs, pid: GUEST, args: { value } });
  }

  finish(): void {
    this.#text += '\n]}\n';
  }

  take(): string {
    const text = this.#text;
    this.#text = '';
    return text;
  }

  #placeOf(track: number): { pid: number; tid: number } {
    return { pid: this.#groups.get(track) ?? GUEST, tid: track };
  }

  #add(event: object): void {
    this.#text += `${this.#isFirst ? '' : ','}\n${JSON.stringify(event)}`;
    this.#isFirst = false;
  }
}
