/** Counts what passes through a session. */
import type { MonitorEvent } from '../core/monitor/events.ts';
import type { MissedEvent, SourceEvent } from '../driver/driver.ts';
import type { Statistics } from '../sinks/sink.ts';

const MAX_REASONS = 8;

export class Tally {
  readonly #counts: Record<MonitorEvent['kind'], number> = {
    'page-in': 0,
    'page-out': 0,
    protection: 0,
    restructure: 0,
    'root-gone': 0,
  };
  #writes = 0;
  #commits = 0;
  #resyncs = 0;
  #foundByResync = 0;
  #lostKnown = 0;
  /** Why it is not known how many changes went unseen. */
  readonly #lostReasons = new Set<string>();
  #lostUnknown = false;
  #windows = { proved: 0, unknown: 0, unknownMs: 0, longestMs: 0 };
  /** When the last sample was taken. */
  #sampleUs = 0;
  #faults = 0;
  #retries = 0;

  /** What the source said, and the events that it led to. */
  add(said: SourceEvent, events: readonly MonitorEvent[]): void {
    for (const event of events) this.#counts[event.kind]++;
    if (said.kind === 'commit') this.#commits++;
    if (said.kind === 'missed') {
      this.#resyncs++;
      this.#foundByResync += events.length;
    }
  }

  /** So many changes went unseen; null where the number is unknown. @param stopUs when the guest stopped, since the session began */
  addLoss({ lost, reason }: MissedEvent, stopUs: number): void {
    if (lost === null) this.#addReason(reason);
    else this.#lostKnown += lost;
    if (!reason.startsWith('sampled')) return;
    // The window of a sample: the time since the one before, by the stops alone, which a recording has too (rule E7).
    this.#addWindow((stopUs - this.#sampleUs) / 1000, lost !== null);
    this.#sampleUs = stopUs;
  }

  /** A sample was compared, so long after the one before. */
  #addWindow(ms: number, isProved: boolean): void {
    const { proved, unknown, unknownMs, longestMs } = this.#windows;
    this.#windows = isProved
      ? { ...this.#windows, proved: proved + 1 }
      : { proved, unknown: unknown + 1, unknownMs: unknownMs + ms, longestMs: Math.max(longestMs, ms) };
  }

  /** The session ends. What a guest changed that ran on by itself and was never compared is unknown. */
  end({ isSampled }: { readonly isSampled: boolean }): void {
    if (isSampled && this.#resyncs === 0) this.#addReason('no sample was taken');
  }

  #addReason(reason: string): void {
    this.#lostUnknown = true;
    // A sample may have several. A trace may give any number of them.
    for (const part of reason.split('; '))
      if (part !== '' && this.#lostReasons.size < MAX_REASONS) this.#lostReasons.add(part);
  }

  addWrite(): void {
    this.#writes++;
  }

  addFault(): void {
    this.#faults++;
  }

  addRetry(): void {
    this.#retries++;
  }

  /** A copy. */
  statistics(): Statistics {
    return {
      counts: { ...this.#counts },
      writes: this.#writes,
      commits: this.#commits,
      resyncs: this.#resyncs,
      foundByResync: this.#foundByResync,
      lost: {
        known: this.#lostKnown,
        unknown: this.#lostUnknown,
        ...(this.#lostReasons.size > 0 && { reasons: [...this.#lostReasons] }),
        ...(this.#windows.proved + this.#windows.unknown > 0 && { windows: this.#windows }),
      },
      faults: this.#faults,
      retries: this.#retries,
    };
  }
}

/** An error as an end line tells it. */
export function failureOf(error: unknown): { code: string; message: string } {
  if (!(error instanceof Error)) return { code: 'unknown', message: String(error) };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
  return { code, message: error.message };
}
