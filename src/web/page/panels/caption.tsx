/** What happens at the shown moment, in a line: the recording's own note, and what the last second did. */
import type { EventKind } from '../../picture/scene.ts';
import { countsOf } from '../../picture/rates.ts';
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

function recentWords({ timeline, scene, nowMs }: Model): string {
  if (scene.kind === 'still') return `${timeline.spaces.length} address spaces at one moment.`;
  const counts = new Map<EventKind, number>();
  const areas = new Map<string, number>();
  const fromMs = scene.kind === 'comparison' ? 0 : nowMs - WINDOW_MS;
  for (let at = timeline.at - 1; at >= 0; at--) {
    const step = timeline.steps[at]!;
    if (step.timeMs < fromMs) break;
    for (const [kind, count] of Object.entries(countsOf(step)) as [EventKind, number][])
      counts.set(kind, (counts.get(kind) ?? 0) + count);
    for (const { who, pages } of step.events) areas.set(who, (areas.get(who) ?? 0) + pages);
  }
  if (counts.size === 0 && scene.kind === 'comparison') return 'Nothing changed from the first to the second.';
  if (counts.size === 0) return timeline.at === 0 ? 'Before the first change.' : 'Nothing changed in the last second.';
  const what = [...counts].map(([kind, count]) => `${count.toLocaleString('en')} ${WORDS[kind]}`).join(', ');
  const most = [...areas].sort((a, b) => b[1] - a[1]).slice(0, 2);
  const where = most.length === 0 ? '' : `, most of it in ${most.map(([who]) => who).join(' and ')}`;
  const when = scene.kind === 'comparison' ? 'From the first to the second' : 'Last second';
  return `${when}, pages: ${what}${where}.`;
}
