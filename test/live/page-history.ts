/**
 * Holds what the monitor said of pages against what the guest says that it did to them: every change once, with the frame that the
 * guest saw, and nothing else.
 *
 * The guest looks before and after an operation. Linux clears an entry before it writes another value into some (a copy on write, a
 * change of rights, a split): such a moment without backing is an event, too, and nothing else may stand beside the report.
 */
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { type PagesReport, pagesOf, type WorkloadReport } from '../../src/drivers/qemu/launch/workload-report.ts';

/**
 * How often an operation may take an entry away and put the same one back. A change of rights does it once, if at all, and a split changes rights twice; memory that is
 * to be swapped out is tried again when it could not be.
 */
const INTERRUPTIONS: Readonly<Record<string, number>> = { mprotect: 1, split: 3, swapout: 9 };

type Frame = number | null;

export interface WatchedRange {
  readonly va: bigint;
  readonly pages: number;
}

/** What the events say of each page: the frames that were behind it, one after the other. */
export function framesByPage(events: readonly MonitorEvent[]): Map<bigint, Frame[]> {
  const frames = new Map<bigint, Frame[]>();
  for (const event of events) {
    if (event.kind !== 'page-in' && event.kind !== 'page-out') continue;
    for (let page = 0; page < event.pages; page++) {
      const va = event.va + BigInt(page) * 4096n;
      const list = frames.get(va) ?? [];
      list.push(event.kind === 'page-in' ? event.pa / 4096 + page : null);
      frames.set(va, list);
    }
  }
  return frames;
}

/** What is wrong, a line for each page; nothing where all is right. */
export function differences(
  events: readonly MonitorEvent[],
  reports: readonly WorkloadReport[],
  watched: readonly WatchedRange[],
  pid: number,
): string[] {
  const said = framesByPage(events);
  const wrong: string[] = [];
  for (const [va, done] of reportsByPage(reports, watched, pid)) {
    const frames = said.get(va) ?? [];
    said.delete(va);
    const difference = compare(frames, done);
    if (difference !== undefined) wrong.push(`0x${va.toString(16)}: ${difference}`);
  }
  for (const [va, frames] of said)
    wrong.push(`0x${va.toString(16)}: said ${text(frames.slice(0, 8))}, and nothing was done`);
  return wrong;
}

/** An operation on one page, and what is behind it for the processor afterwards. */
interface Done {
  readonly op: string;
  readonly frame: Frame;
}

function reportsByPage(reports: readonly WorkloadReport[], watched: readonly WatchedRange[], pid: number) {
  const isWatched = (at: bigint) => watched.some(({ va, pages }) => at >= va && at < va + BigInt(pages) * 4096n);
  const byPage = new Map<bigint, Done[]>();
  for (const report of reports.filter((each): each is PagesReport => each.kind === 'pages')) {
    if (report.pid !== undefined && report.pid !== pid) continue;
    for (const { va, pfn } of pagesOf(report)) {
      if (!isWatched(va)) continue;
      const list = byPage.get(va) ?? [];
      list.push({ op: report.op, frame: report.inaccessible ? null : pfn });
      byPage.set(va, list);
    }
  }
  return byPage;
}

/**
 * Nothing is behind a page when its watch begins. Frames are used again and again, so what was said may be read in several ways: all
 * of them are followed.
 */
function compare(said: readonly Frame[], done: readonly Done[]): string | undefined {
  let ends = new Set([0]);
  let now: Frame = null;
  for (const [index, { op, frame }] of done.entries()) {
    const next = new Set(
      [...ends].flatMap((at) => endsOf(said, at, { before: now, after: frame, interruptions: INTERRUPTIONS[op] ?? 0 })),
    );
    if (next.size === 0) {
      const around = text(said.slice(Math.max(0, Math.min(...ends) - 3), Math.max(...ends) + 4));
      return `operation ${index} (${op}) led from ${text([now])} to ${text([frame])}; said around ${[...ends].join(',')}: ${around}`;
    }
    ends = next;
    now = frame;
  }
  return ends.has(said.length) ? undefined : `${said.length - Math.max(...ends)} too many: ${text(said.slice(-8))}`;
}

/** How far an operation that leads from one frame to another may have been told of. */
function endsOf(
  said: readonly Frame[],
  from: number,
  { before, after, interruptions }: { before: Frame; after: Frame; interruptions: number },
): number[] {
  const ends: number[] = [];
  let at = from;
  for (let count = 0; count <= interruptions; count++) {
    if (before === after) ends.push(at);
    else if (said[at] === after) ends.push(at + 1);
    else if (before !== null && said[at] === null && said[at + 1] === after) ends.push(at + 2);
    if (before === null || said[at] !== null || said[at + 1] !== before) break;
    at += 2;
  }
  return ends;
}

function text(frames: readonly (Frame | undefined)[]): string {
  return `[${frames.map((frame) => (frame === null ? '-' : frame?.toString(16))).join(' ')}]`;
}
