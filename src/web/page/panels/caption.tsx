/** What happens at the shown moment, in a line: the recording's own note, and what the last second did. */
import { bytesName } from '../../picture/look.ts';
import { countsOf } from '../../picture/rates.ts';
import { totalsOf } from '../../picture/runs.ts';
import type { EventKind, Step } from '../../picture/scene.ts';
import type { Model } from '../model.ts';

const WINDOW_MS = 1000;
const WORDS: Readonly<Record<EventKind, string>> = {
  'page-in': 'in',
  'page-out': 'out',
  protection: 'with other rights',
  restructure: 'in pages of another size',
  'root-gone': 'ended',
};

export function Caption({ model }: { readonly model: Model }) {
  const note = noteAt(model);
  const recent = recentWords(model);
  return (
    <p class="caption" title={note}>
      {note !== undefined && <b>{note}</b>}
      {note !== undefined && ' — '}
      {recent}
    </p>
  );
}

/** The last note up to the shown moment. */
function noteAt({ timeline }: Model): string | undefined {
  for (let at = timeline.at - 1; at >= 0; at--) {
    const { note } = timeline.steps[at]!;
    if (note !== undefined) return note;
  }
  return undefined;
}

function recentWords({ timeline, scene, shown, nowMs }: Model): string {
  const { spaces, steps, at } = timeline;
  if (scene.kind === 'still') {
    const has =
      shown === undefined ? '' : `; ${shown.name} has ${bytesName(totalsOf(shown.map.runs).mapped * 4096)} in memory`;
    return `${spaces.length} address space${spaces.length === 1 ? '' : 's'} at one moment${has}.`;
  }
  if (at === 0 && scene.kind === 'recording') {
    const all = changeWords(steps);
    return `Before the first change.${all && ` In all ${(scene.endMs / 1000).toFixed(1)} s, pages: ${all}.`}`;
  }
  const fromMs = scene.kind === 'comparison' ? 0 : nowMs - WINDOW_MS;
  let from = at;
  while (from > 0 && steps[from - 1]!.timeMs >= fromMs) from--;
  const what = changeWords(steps.slice(from, at));
  if (scene.kind === 'comparison')
    return what ? `From the first to the second, pages: ${what}.` : 'Nothing changed from the first to the second.';
  if (what) return `Last second, pages: ${what}.`;
  return at === 0 ? 'Before the first change.' : 'Nothing changed in the last second.';
}

/** `4 in, 2 out, most of it in nginx[12]:heap`; empty where nothing changed. */
function changeWords(steps: readonly Step[]): string {
  const counts = new Map<EventKind, number>();
  const areas = new Map<string, number>();
  for (const step of steps) {
    for (const [kind, count] of Object.entries(countsOf(step)) as [EventKind, number][])
      counts.set(kind, (counts.get(kind) ?? 0) + count);
    for (const { who, pages } of step.events) areas.set(who, (areas.get(who) ?? 0) + pages);
  }
  const what = (Object.entries(WORDS) as [EventKind, string][])
    .filter(([kind]) => counts.has(kind))
    .map(([kind, word]) => `${counts.get(kind)!.toLocaleString('en')} ${word}`)
    .join(', ');
  const most = [...areas].sort((a, b) => b[1] - a[1]).slice(0, 2);
  return most.length === 0 ? what : `${what}, most of it in ${most.map(([who]) => who).join(' and ')}`;
}
