import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import type { Sink, SourceInfo, Summary } from '../../src/sinks/sink.ts';

/** `+5` for page 5 in, `-5` for page 5 out. */
export function short(event: MonitorEvent): string {
  const sign = event.kind === 'page-in' ? '+' : event.kind === 'page-out' ? '-' : `${event.kind} `;
  return `${sign}${event.va / 4096n}`;
}

/** Remembers what it is told; fails where told to. */
export class RecordingSink implements Sink {
  readonly heard: string[] = [];
  info: SourceInfo | undefined;
  summary: Summary | undefined;
  ends = 0;
  readonly #failOn: string | undefined;

  /** @param failOn `begin`, `end`, or an event as `short` names it */
  constructor(failOn?: string) {
    this.#failOn = failOn;
  }

  begin(info: SourceInfo): void {
    this.info = info;
    this.#fail('begin');
  }

  async write(event: MonitorEvent): Promise<void> {
    await Promise.resolve();
    this.#fail(short(event));
    this.heard.push(short(event));
  }

  end(summary: Summary): void {
    this.summary = summary;
    this.ends++;
    this.#fail('end');
  }

  #fail(what: string): void {
    if (this.#failOn === what) throw new Error(`sink fails on ${what}`);
  }
}
