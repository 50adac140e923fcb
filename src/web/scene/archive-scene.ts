/** A session of an archive as a scene: there are no page tables in it, so what its events say is all there is to draw. */
import { gfnOf, PAGE_BYTES } from '../../core/address/pa.ts';
import type { BackedRun, MonitorEvent } from '../../core/monitor/events.ts';
import { packRights, type Rights } from '../../core/paging/rights.ts';
import { lookOf, lookWithoutRights, withLeafPages } from '../picture/look.ts';
import type { Run } from '../picture/runs.ts';
import type { Change, Scene, SceneEvent } from '../picture/scene.ts';
import { type RecordedSpace, RecordedSpaces } from './recorded-spaces.ts';
import { namesOf, sceneEvent } from './scene-events.ts';
import { spanOf } from './space-runs.ts';

/** What happened at one time. */
export interface Moment {
  readonly timeMs: number;
  readonly events: readonly { readonly event: MonitorEvent; readonly rights: Rights | undefined }[];
  /** What a watch that began then had behind its pages. */
  readonly backed: readonly (BackedRun & Pick<MonitorEvent, 'root' | 'tags'>)[];
  readonly notes: readonly string[];
}

/** @param about what the scene says of itself */
export function archiveScene(
  about: Pick<Scene, 'source' | 'title' | 'mode' | 'notes'>,
  moments: Iterable<Moment>,
): Scene {
  const spaces = new RecordedSpaces();
  const { steps } = spaces;
  for (const { timeMs, events, backed, notes } of moments) {
    const changes: Change[] = [];
    for (const run of backed) changes.push(...beginWatch(spaces, run, steps.length === 0 && events.length === 0));
    const shown: SceneEvent[] = [];
    for (const { event, rights } of events) {
      const { index, cleared } = spaces.of(event.root, namesOf(event).space, event.kind === 'root-gone');
      shown.push(sceneEvent(event, index));
      changes.push(...cleared, ...spaces.changesBy(event, index, runsOf(spaces.at(index), event, rights)));
    }
    if (changes.length === 0 && shown.length === 0 && notes.length === 0) continue;
    steps.push({ timeMs, changes, events: shown, ...(notes.length > 0 && { note: notes.join('; ') }) });
  }
  const endMs = steps.at(-1)?.timeMs ?? 0;
  return { kind: 'recording', ...about, spaces: spaces.all(), steps, ram: [], endMs };
}

/** The changes; none before the first event, where it is what the scene begins with. */
function beginWatch(spaces: RecordedSpaces, run: Moment['backed'][number], isFirst: boolean): Change[] {
  const { space: name, area } = namesOf(run);
  const { index, cleared } = spaces.of(run.root, name);
  const space = spaces.at(index);
  const span = spanOf(run.va, run.pages);
  space.pages.push({ vpn: span.from, pages: run.pages, name: area });
  const look = lookWithoutRights(run.pageSize / PAGE_BYTES);
  const change = spaces.put(index, span, [[span.from, run.pages, look, gfnOf(run.pa)]]);
  if (!isFirst) return [...cleared, change];
  space.initial = [...space.map.runs];
  return [];
}

/** What is behind the pages of an event afterwards. */
function runsOf(space: RecordedSpace, event: MonitorEvent, rights: Rights | undefined): Run[] {
  if (event.kind === 'page-out' || event.kind === 'root-gone') return [];
  const { from, to } = spanOf(event.va, event.pages);
  const leafPages = event.pageSize / PAGE_BYTES;
  if (event.kind === 'restructure')
    return space.map.in(from, to).map(([vpn, pages, look, gfn]) => [vpn, pages, withLeafPages(look, leafPages), gfn]);
  const look = rights === undefined ? lookWithoutRights(leafPages) : lookOf(packRights(rights), leafPages);
  return [[from, event.pages, look, gfnOf(event.pa)]];
}
