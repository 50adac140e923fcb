/** The names that a system layer gives to events, as they can be kept and given again. */
import type { Cause, MonitorEvent } from '../core/monitor/events.ts';
import type { EventName, EventNames } from '../driver/session-parts.ts';
import { pagesOf, partOfEvent } from './watch/watched-span.ts';

const PAGE_BYTES = 4096n;

/** What `events` are called, which were `found`; undefined where that is what they were called before. */
export function namesOf(found: readonly MonitorEvent[], events: readonly MonitorEvent[]): EventNames | undefined {
  if (events === found) return undefined;
  const names: EventName[] = [];
  let at = 0;
  for (const event of events) {
    while (at < found.length && !isPartOf(event, found[at]!)) at++;
    const whole = found[at];
    // An event of the layer's own making cannot be told by a name.
    if (whole === undefined) return undefined;
    const { tags, cause, pid, comm = '', map } = event;
    names.push({
      event: at,
      skippedPages: Number((event.va - whole.va) / PAGE_BYTES),
      pages: 'pages' in event && 'pages' in whole && event.pages !== whole.pages ? event.pages : undefined,
      tags,
      ...(pid !== undefined && { owner: { pid, comm, ...(map !== undefined && { map }) } }),
      ...(cause?.oldMeaning !== undefined && { oldMeaning: cause.oldMeaning }),
      ...(cause?.newMeaning !== undefined && { newMeaning: cause.newMeaning }),
    });
  }
  const isNews = names.length !== found.length || names.some((name) => isNew(name, found[name.event]!));
  return isNews ? { found: found.length, names } : undefined;
}

/** The events by their names. Where others were found, because other kinds are wanted, they keep their tags. */
export function called(found: readonly MonitorEvent[], names: EventNames | undefined): readonly MonitorEvent[] {
  if (names === undefined || found.length !== names.found) return found;
  return names.names.flatMap((name) => {
    const whole = found[name.event];
    // The record may be hostile.
    if (whole === undefined || name.skippedPages + (name.pages ?? 1) > pagesOf(whole)) return [];
    return [partOf(whole, name)];
  });
}

function isNew(
  { skippedPages, pages, tags, owner, oldMeaning, newMeaning }: EventName,
  { tags: before }: MonitorEvent,
): boolean {
  if (
    owner !== undefined ||
    skippedPages > 0 ||
    pages !== undefined ||
    oldMeaning !== undefined ||
    newMeaning !== undefined
  )
    return true;
  return tags.length !== before.length || tags.some((tag, at) => tag !== before[at]);
}

function isPartOf(part: MonitorEvent, whole: MonitorEvent): boolean {
  if (part.kind !== whole.kind || part.root !== whole.root || part.view !== whole.view) return false;
  const distance = part.va - whole.va;
  // An address within a page is not a part of a run that has the page.
  return distance >= 0n && distance % PAGE_BYTES === 0n && distance < BigInt(pagesOf(whole)) * PAGE_BYTES;
}

function partOf(whole: MonitorEvent, name: EventName): MonitorEvent {
  const { skippedPages, pages, tags, owner, oldMeaning, newMeaning } = name;
  const cause: Cause | null = whole.cause && {
    ...whole.cause,
    ...(oldMeaning !== undefined && { oldMeaning }),
    ...(newMeaning !== undefined && { newMeaning }),
  };
  return { ...partOfEvent(whole, skippedPages, pages ?? pagesOf(whole)), tags, ...owner, cause };
}
