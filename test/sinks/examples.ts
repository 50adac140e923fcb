/** One event of each kind, and a stream that remembers. */
import { Writable } from 'node:stream';
import type { Pa } from '../../src/core/address/types.ts';
import type { MonitorEvent, PageEvent } from '../../src/core/monitor/events.ts';
import type { Summary } from '../../src/sinks/sink.ts';

const base = {
  view: 0,
  root: 0x1000 as Pa,
  va: 0x7f12_3456_7abcn,
  tags: ['nginx[12]:heap'],
  vcpu: 1,
  cause: { entryPa: 0x3ff8 as Pa, level: 1, oldValue: 0n, newValue: 0x8000_0000_01a2_b067n },
} as const;

const rights = { writable: true, user: true, noExecute: false, protectionKey: 0 };

export const pageIn: PageEvent = { ...base, kind: 'page-in', pa: 0x1a2_babc as Pa, pageSize: 4096, pages: 1 };

export const pageOut: PageEvent = {
  ...base,
  kind: 'page-out',
  va: 0xffff_8880_0000_0000n,
  pa: 0xf_ffff_ffff_f000 as Pa,
  pageSize: 2 ** 21,
  pages: 1024,
  tags: ['a', 7],
  vcpu: null,
  cause: { ...base.cause, level: 2, oldValue: 0x1a2_b0e7n, newValue: 0n },
};

export const protection: MonitorEvent = {
  ...base,
  kind: 'protection',
  pa: 0x1a2_babc as Pa,
  pageSize: 4096,
  pages: 1,
  oldRights: rights,
  newRights: { ...rights, writable: false, noExecute: true, protectionKey: 3 },
};

export const restructure: MonitorEvent = {
  ...base,
  kind: 'restructure',
  pa: 0x1a2_babc as Pa,
  oldPageSize: 4096,
  pageSize: 2 ** 21,
  pages: 1,
};

export const rootGone: MonitorEvent = {
  ...base,
  kind: 'root-gone',
  tags: [],
  vcpu: null,
  cause: null,
  view: 2,
  pages: 1,
};

export const summary: Summary = {
  ended: 'finished',
  counts: { 'page-in': 2, 'page-out': 1, protection: 0, restructure: 0, 'root-gone': 0 },
  writes: 12,
  commits: 10,
  resyncs: 0,
  foundByResync: 0,
  lost: { known: 0, unknown: false },
  faults: 0,
  retries: 0,
};

/** Takes what is written; with `slow`, only when `release` is called. */
export class Recorder extends Writable {
  text = '';
  readonly #slow: boolean;
  #held: (() => void)[] = [];

  constructor(options: { slow?: boolean; highWaterMark?: number } = {}) {
    super({ decodeStrings: false, highWaterMark: options.highWaterMark ?? 16_384 });
    this.#slow = options.slow ?? false;
  }

  override _write(chunk: string, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const take = () => {
      this.text += chunk;
      done();
    };
    if (this.#slow) this.#held.push(take);
    else take();
  }

  /** Lets the write that waits through; answers whether there was one. */
  release(): boolean {
    const take = this.#held.shift();
    take?.();
    return take !== undefined;
  }
}

/** A stream whose every write fails. */
export function failing(code: string): Writable {
  return new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error(`${code}: it fails`), { code })),
  });
}

/** Lets everything that is ready happen. */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
