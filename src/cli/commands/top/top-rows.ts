/** The rows of `ptmon top`: what each process has, and what it gained and lost since the look before. */
import { countChanges, type Run, totalsOf } from '../../../web/picture/runs.ts';
import { processKey } from '../../../web/scene/process-sample.ts';
import { printable } from '../../../sinks/printable.ts';

const PAGE_BYTES = 4096;
/** Looks that the history of a row has. */
const MAX_HISTORY = 120;

/** A process at one look. */
export interface LookedAt {
  readonly pid: number;
  readonly command: string;
  readonly uid: number;
  readonly threads: number;
  readonly state: string;
  /** Tells it from a later one of the same number. */
  readonly startTime: bigint;
  readonly runs: readonly Run[];
}

export interface TopRow extends Omit<LookedAt, 'runs' | 'threads'> {
  readonly threads: number;
  /** Bytes. */
  readonly resident: number;
  readonly large: number;
  readonly swapped: number;
  /** 4 KiB pages a second since the look before. */
  readonly pagesIn: number;
  readonly pagesOut: number;
  readonly copies: number;
  /** Pages in and out a second at the last looks, the oldest first. */
  readonly history: readonly number[];
}

interface Known {
  readonly runs: readonly Run[];
  readonly history: readonly number[];
}

export class TopRows {
  #known = new Map<string, Known>();

  /** @param seconds since the look before; undefined at the first */
  look(processes: readonly LookedAt[], seconds: number | undefined): TopRow[] {
    const known = new Map<string, Known>();
    const rows = processes.map(({ runs, command, ...process }): TopRow => {
      const before = this.#known.get(processKey(process));
      const counts = before === undefined ? NONE : countChanges(before.runs, runs);
      const rate = (pages: number) => (seconds === undefined ? 0 : pages / seconds);
      const { mapped, large, swapped } = totalsOf(runs);
      const moved = rate(counts.pagesIn + counts.pagesOut);
      const history = [...(before?.history ?? []), ...(before === undefined ? [] : [moved])].slice(-MAX_HISTORY);
      known.set(processKey(process), { runs, history });
      return {
        ...process,
        command: printable(command),
        resident: mapped * PAGE_BYTES,
        large: large * PAGE_BYTES,
        swapped: swapped * PAGE_BYTES,
        pagesIn: rate(counts.pagesIn),
        pagesOut: rate(counts.pagesOut),
        copies: rate(counts.copies),
        history,
      };
    });
    this.#known = known;
    return rows;
  }
}

const NONE = { pagesIn: 0, pagesOut: 0, copies: 0 };
