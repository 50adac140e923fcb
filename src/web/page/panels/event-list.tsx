/** The stream of events up to the shown moment, with filters. */
import { useState } from 'preact/hooks';
import { addressText, bytesName } from '../../picture/look.ts';
import type { EventKind, SceneEvent } from '../../picture/scene.ts';
import type { Model } from '../model.ts';

const KINDS: readonly { readonly kind: EventKind; readonly sign: string; readonly name: string }[] = [
  { kind: 'page-in', sign: '+', name: 'in' },
  { kind: 'page-out', sign: '−', name: 'out' },
  { kind: 'protection', sign: '~', name: 'rights' },
  { kind: 'restructure', sign: '≈', name: 'size' },
  { kind: 'root-gone', sign: '×', name: 'ended' },
];
const SIGNS = new Map(KINDS.map(({ kind, sign }) => [kind, sign]));

/** Rows that are shown. While time goes on, those that are in sight: all of them may be new four times a second. */
const MAX_ROWS = 150;
const ROW_HEIGHT = 32;
/** Steps that a filter looks back through. */
const MAX_STEPS = 20_000;

export function EventList({ model }: { readonly model: Model }) {
  const [hidden, setHidden] = useState<ReadonlySet<EventKind>>(new Set());
  const [text, setText] = useState('');
  const { rows, omitted } = lastEvents(model, hidden, text.trim().toLowerCase());
  const { scene } = model;
  const isFiltered = hidden.size > 0 || text !== '';
  const toggle = (kind: EventKind) => {
    const next = new Set(hidden);
    if (!next.delete(kind)) next.add(kind);
    setHidden(next);
  };
  return (
    <section class="events" aria-label="Events">
      <h2>Events</h2>
      <div class="filters">
        {KINDS.map(({ kind, sign, name }) => (
          <label key={kind} title={kind}>
            <input type="checkbox" checked={!hidden.has(kind)} onChange={() => toggle(kind)} />
            <span class={`sign ${kind}`}>{sign}</span> {name}
          </label>
        ))}
        <input
          type="search"
          aria-label="Filter by process, area or address"
          placeholder="process, area or address"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </div>
      {omitted > 0 && (
        <p class="notice" role="status">
          {omitted.toLocaleString('en')} events came too fast to list: the picture and the rates have them.
        </p>
      )}
      <ol class="stream">
        {rows.map(({ key, timeMs, event }) => (
          <li key={key}>
            <button type="button" onClick={() => model.select({ space: event.space, vpn: event.vpn })}>
              <time>{scene.kind === 'comparison' ? '' : (timeMs / 1000).toFixed(3)}</time>
              <span class={`sign ${event.kind}`} aria-label={event.kind}>
                {SIGNS.get(event.kind)}
              </span>
              <Who who={event.who} />
              <code>{event.kind === 'root-gone' ? 'ended' : addressText(event.vpn)}</code>
              <span class="size">{sizeText(event)}</span>
              <span class="why">{event.why}</span>
            </button>
          </li>
        ))}
        {rows.length === 0 && <li class="hint">{isFiltered ? 'No event fits the filters.' : 'No events yet.'}</li>}
      </ol>
    </section>
  );
}

/** Where it is too narrow, the name of the process loses its end first, then the area; the PID stays. */
function Who({ who }: { readonly who: string }) {
  const [, process = '', pid = '', area = ''] = /^(.*?)(\[\d+\])?(:.*)?$/s.exec(who) ?? [];
  return (
    <span class="who" title={who}>
      <span class="process">{process}</span>
      <span class="pid">{pid}</span>
      <span>{area}</span>
    </span>
  );
}

function sizeText({ kind, pages, pageSize }: SceneEvent): string {
  if (kind === 'root-gone') return '';
  const leaves = Math.max(1, Math.round((pages * 4096) / pageSize));
  return `${leaves > 1 ? `${leaves}×` : ''}${bytesName(pageSize)}`;
}

/** The newest first. */
function lastEvents({ timeline, isPlaying }: Model, hidden: ReadonlySet<EventKind>, text: string) {
  const rows: { key: string; timeMs: number; event: SceneEvent }[] = [];
  const most = isPlaying ? Math.min(MAX_ROWS, Math.ceil(innerHeight / ROW_HEIGHT)) : MAX_ROWS;
  const end = Math.max(0, timeline.at - MAX_STEPS);
  for (let at = timeline.at - 1; at >= end && rows.length < most; at--) {
    const step = timeline.steps[at]!;
    for (let index = step.events.length - 1; index >= 0 && rows.length < most; index--) {
      const event = step.events[index]!;
      if (hidden.has(event.kind)) continue;
      if (text !== '' && !`${event.who} ${addressText(event.vpn)} ${event.why}`.toLowerCase().includes(text)) continue;
      rows.push({ key: `${step.timeMs} ${index} ${event.vpn}`, timeMs: step.timeMs, event });
    }
  }
  const omitted = timeline.steps.reduce((sum, step, at) => sum + (at < timeline.at ? (step.omitted ?? 0) : 0), 0);
  return { rows, omitted };
}
