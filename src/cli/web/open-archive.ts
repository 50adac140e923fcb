/** The source of a page or a report: the last session of a VM in the archive of a fleet. */
import { backedOfRow, eventOfRow, rootOfRow, tagsOfRow } from '../../fleet/archive/event-of-row.ts';
import type { Row } from '../../fleet/archive/row.ts';
import { lastSession } from '../../fleet/archive/session-rows.ts';
import { eventLine } from '../../sinks/jsonl-format.ts';
import { archiveScene, type Moment } from '../../web/scene/archive-scene.ts';
import { FileSceneSource, noWalk } from '../../web/scene/file-source.ts';
import type { SceneSource } from '../../web/scene/scene-source.ts';

/** What the picture of every archive lacks. */
const NOTE = 'An archive has events, not page tables: rights are known only from events, and cells have no walk.';

/**
 * @param of the VM: as `lastSession` takes it
 * @throws PtmonError as `lastSession`
 */
export async function openArchive(folder: string, of: string | undefined, signal: AbortSignal): Promise<SceneSource> {
  const { host, vm, rows, omitted } = await lastSession(folder, of, signal);
  const moments = [...momentsOf(rows)];
  const start = new Date(startOf(rows) / 1000).toISOString().replace(/\.\d+Z$/, 'Z');
  const mode = / (\S+)$/.exec(String(rows.find(({ kind }) => kind === 'begin')?.['reason'] ?? ''))?.[1];
  const gaps = rows.filter(({ kind }) => kind === 'gap').length;
  const scene = archiveScene(
    {
      source: folder,
      title: `${vm} on ${host}, watched from ${start}`,
      mode: mode ?? 'unknown mode',
      notes: [
        NOTE,
        ...(omitted > 0 ? [`The first ${omitted} rows are left out: what they put into memory is missing.`] : []),
        ...(gaps > 0 ? [`Events are missing in ${gaps} places: see the notes of the timeline.`] : []),
      ],
    },
    moments,
  );
  return new FileSceneSource({ scene, walk: noWalk('an archive has only events'), lines: () => linesOf(moments) });
}

/** When the session began, in microseconds since 1970. */
function startOf(rows: readonly Row[]): number {
  const { time, time_us: us = 0 } = rows.find((row) => row['time_us'] !== undefined) ?? rows[0] ?? {};
  return Number(time ?? 0) - Number(us);
}

/** Rows with the same time are one moment. */
function* momentsOf(rows: readonly Row[]): Generator<Moment, void, undefined> {
  const start = startOf(rows);
  for (let at = 0; at < rows.length; ) {
    const time = rows[at]!['time'];
    const first = at;
    while (at < rows.length && rows[at]!['time'] === time) at++;
    const group = rows.slice(first, at);
    yield {
      timeMs: Math.max(0, (Number(time) - start) / 1000),
      events: group.flatMap((row) => eventOfRow(row) ?? []),
      backed: group
        .filter(({ kind }) => kind === 'backed')
        .map((row) => ({ ...backedOfRow(row), root: rootOfRow(row), tags: tagsOfRow(row) })),
      notes: group.flatMap(noteOf),
    };
  }
}

function noteOf({ kind, missing, reason }: Row): string[] {
  if (kind === 'end') return [`The session ends: ${String(reason)}`];
  if (kind !== 'gap') return [];
  return [`${missing === undefined ? 'An unknown number of' : String(missing)} events missing: ${String(reason)}`];
}

async function* linesOf(moments: readonly Moment[]): AsyncGenerator<string, void, undefined> {
  let seq = 0;
  for (const { events } of moments) {
    for (const { event } of events) yield eventLine(event, seq++, true);
  }
}
