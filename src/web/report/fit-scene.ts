/** Makes a scene small enough for a report: first without the details of events, then with fewer moments. Says what it leaves out. */
import { countsOf } from '../picture/rates.ts';
import type { Change, EventKind, Scene, SceneEvent, Step } from '../picture/scene.ts';

/** Events that are kept of each moment, one after the other until it fits. */
const EVENTS_PER_STEP = [64, 8, 1, 0];
/** By how much moments are merged, one after the other. */
const MERGES = [4, 32, 256, 2048, 16_384, 131_072];

/**
 * @param isSmall whether what it is given fits
 * @returns the scene, or as much of it as fits; undefined where not even its first moment does
 */
export function fitScene(scene: Scene, isSmall: (scene: Scene) => boolean): Scene | undefined {
  if (isSmall(scene)) return scene;
  const all = scene.steps.reduce((sum, { events, omitted = 0 }) => sum + events.length + omitted, 0);
  for (const limit of EVENTS_PER_STEP) {
    const steps = scene.steps.map((step) => withEvents(step, limit));
    const kept = steps.reduce((sum, { events }) => sum + events.length, 0);
    const note = `${kept} of ${all} events are listed; the picture and the rates have all of them.`;
    const fitted = withNote({ ...scene, steps }, note);
    if (isSmall(fitted)) return fitted;
  }
  for (const count of MERGES) {
    const steps = merged(scene.steps, count);
    const note = `${steps.length} of ${scene.steps.length} moments are kept, and no single events: a longer recording does not fit.`;
    const fitted = withNote({ ...scene, steps }, note);
    if (isSmall(fitted)) return fitted;
  }
  const still = withNote({ ...scene, kind: 'still', steps: [] }, 'Only the beginning is shown: the rest does not fit.');
  return isSmall(still) ? still : undefined;
}

function withNote(scene: Scene, note: string): Scene {
  return { ...scene, notes: [...scene.notes, note] };
}

function withEvents(step: Step, limit: number): Step {
  const { events, omitted = 0 } = step;
  if (events.length <= limit) return step;
  const kept: readonly SceneEvent[] = events.slice(0, limit);
  return { ...step, events: kept, omitted: omitted + events.length - limit, counts: countsOf(step) };
}

/** Every `count` steps as one, at the time of the last. */
function merged(steps: readonly Step[], count: number): Step[] {
  const groups = Array.from({ length: Math.ceil(steps.length / count) }, (_, at) =>
    steps.slice(at * count, (at + 1) * count),
  );
  return groups.map((group) => {
    const counts: Partial<Record<EventKind, number>> = {};
    for (const step of group) {
      for (const [kind, number] of Object.entries(countsOf(step)) as [EventKind, number][])
        counts[kind] = (counts[kind] ?? 0) + number;
    }
    const notes = group.flatMap(({ note }) => note ?? []);
    return {
      timeMs: group.at(-1)!.timeMs,
      changes: lastOfEach(group.flatMap(({ changes }) => changes)),
      events: [],
      omitted: group.reduce((sum, { events, omitted = 0 }) => sum + events.length + omitted, 0),
      counts,
      ...(notes.length > 0 && { note: notes.join('; ') }),
    };
  });
}

/** Of changes of exactly the same pages that nothing else overlaps in between, the last one. */
function lastOfEach(changes: readonly Change[]): Change[] {
  const last = new Map<string, number>();
  for (const [at, [space, vpn, pages]] of changes.entries()) last.set(`${space} ${vpn} ${pages}`, at);
  // What a later change covers as a whole does not show.
  return changes.filter(([space, vpn, pages], at) => last.get(`${space} ${vpn} ${pages}`) === at);
}
