/** The addresses that one watch covers, and the part of an event that is about them. */
import { paOf } from '../../core/address/pa.ts';
import { offsetOf } from '../../core/address/va.ts';
import type { RangeWatchRequest, WatchRequest } from '../../core/monitor/api.ts';
import type { MonitorEvent } from '../../core/monitor/events.ts';
import { type Paging, rootOf } from '../../core/paging/format.ts';

const PAGE_BYTES = 4096n;

/** One address, or every page that a range touches. */
export interface WatchedSpan {
  readonly view: number;
  /** Physical address of the top-level table. */
  readonly root: number;
  /** The address, or the first byte of the range's first page. */
  readonly va: bigint;
  /** 4 KiB pages; undefined for one address. */
  readonly pages: number | undefined;
}

export function isRange(request: WatchRequest | RangeWatchRequest): request is RangeWatchRequest {
  return 'byteLength' in request && request.byteLength !== undefined;
}

/** @param request one that the monitor has accepted */
export function spanOf(paging: Paging, request: WatchRequest | RangeWatchRequest): WatchedSpan {
  const { view = 0, root } = request;
  const va = BigInt(request.va);
  const base = { view, root: rootOf(paging, root) };
  if (!isRange(request)) return { ...base, va, pages: undefined };
  const start = pageOf(va);
  const end = pageOf(va + BigInt(request.byteLength) + PAGE_BYTES - 1n);
  return { ...base, va: start, pages: Number((end - start) / PAGE_BYTES) };
}

/** Whether the span covers this address; of a range, any byte of its pages. */
export function covers(span: WatchedSpan, va: bigint): boolean {
  if (span.pages === undefined) return va === span.va;
  return va >= span.va && va < endOf(span);
}

/** What an event says of the addresses of a span; undefined where that is nothing. A run of pages is cut to fit. */
export function eventWithin(span: WatchedSpan, event: MonitorEvent): MonitorEvent | undefined {
  if (event.root !== span.root || event.view !== span.view) return undefined;
  const { va } = event;
  if (va === span.va && span.pages === undefined && pagesOf(event) === 1) return event;
  // A range watches the first byte of each of its pages; other bytes of them are watches of their own.
  if (offsetOf(va) !== 0 || offsetOf(span.va) !== 0) return va === span.va ? event : undefined;
  const start = va > span.va ? va : span.va;
  const eventEnd = va + BigInt(pagesOf(event)) * PAGE_BYTES;
  const end = eventEnd < endOf(span) ? eventEnd : endOf(span);
  if (start >= end) return undefined;
  if (start === va && end === eventEnd) return event;
  return partOfEvent(event, Number((start - va) / PAGE_BYTES), Number((end - start) / PAGE_BYTES));
}

/** The pages that an event is about. */
export function pagesOf(event: MonitorEvent): number {
  return 'pages' in event ? event.pages : 1;
}

/** An event about some of the pages of another one. */
export function partOfEvent(whole: MonitorEvent, skippedPages: number, pages: number): MonitorEvent {
  return {
    ...whole,
    va: whole.va + BigInt(skippedPages) * PAGE_BYTES,
    ...('pa' in whole && { pa: paOf(skippedPages, whole.pa) }),
    ...('pages' in whole && { pages }),
  };
}

function endOf({ va, pages = 1 }: WatchedSpan): bigint {
  return va + BigInt(pages) * PAGE_BYTES;
}

function pageOf(va: bigint): bigint {
  return va - (va % PAGE_BYTES);
}
