/** The page that is open: its walk level by level, who else has its frame, and what happened to it. */
import { addressText, isSwapped } from '../../picture/look.ts';
import { frameAt, pageOfFrame } from '../../picture/runs.ts';
import type { SceneEvent } from '../../picture/scene.ts';
import { pageWords } from '../blocks/area-block.tsx';
import type { Model, Selection } from '../model.ts';
import { useWalk } from '../blocks/tooltip.tsx';

/** Of the events of a page, the last ones. */
const MAX_EVENTS = 8;

export function Details({ model }: { readonly model: Model }) {
  const { selection } = model;
  if (selection === undefined) {
    return (
      <section class="details" aria-label="Page">
        <h2>Page</h2>
        <p class="hint">
          Click a cell to see how its address is translated, who shares its frame, and what happened to it.
        </p>
      </section>
    );
  }
  return <OpenPage model={model} selection={selection} />;
}

function OpenPage({ model, selection }: { readonly model: Model; readonly selection: Selection }) {
  const { vpn } = selection;
  const space = model.timeline.spaces[selection.space];
  const walk = useWalk(model, vpn);
  if (space === undefined) return null;
  const run = space.map.at(vpn);
  const known = run === undefined || isSwapped(run[2]) ? [] : sharersOf(model, frameAt(run, vpn));
  const history = eventsOf(model, selection);
  const { lines = [], sharers = known } = walk?.answer ?? {};
  return (
    <section class="details" aria-label="Page" aria-live="polite">
      <h2>
        Page <code>{addressText(vpn)}</code>
        <button type="button" class="close" aria-label="Close" onClick={() => model.select(undefined)}>
          ×
        </button>
      </h2>
      <p class="words">{pageWords(space, vpn).replace(/^\S+ /, '')}</p>
      {lines.length > 0 && (
        <pre tabIndex={0}>
          {lines.map((line, at) => (
            <span key={at}>{line}</span>
          ))}
        </pre>
      )}
      {lines.length > 0 && model.isLive && !model.timeline.isAtEnd && (
        <p class="hint">This walk is as of now, not of the shown moment.</p>
      )}
      {walk?.failure !== undefined && <p class="hint">{walk.failure}</p>}
      {model.isReport && (
        <p class="hint">
          ptmon translate {model.scene.source} --root 0x{space.root.toString(16)} {addressText(vpn)} explains it level
          by level.
        </p>
      )}
      {sharers.length > 1 && (
        <p>
          Its frame is mapped {sharers.length} times: {sharers.join(', ')}.
        </p>
      )}
      {history.length > 0 && (
        <ol class="history">
          {history.map(({ timeMs, event }, at) => (
            <li key={at}>
              <time>{(timeMs / 1000).toFixed(3)}</time> {event.kind} {event.gfn < 0 ? '' : addressText(event.gfn)}{' '}
              {event.why}
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

/** Spaces that map a frame, and where. */
function sharersOf({ timeline }: Model, gfn: number): string[] {
  const found: string[] = [];
  for (const { name, map } of timeline.spaces) {
    for (const run of map.runs) {
      const page = pageOfFrame(run, gfn);
      if (page !== undefined) found.push(`${name} ${addressText(page)}`);
    }
  }
  return found;
}

/** The last events of a page up to the shown moment, the newest first. */
function eventsOf({ timeline }: Model, { space, vpn }: Selection) {
  const found: { timeMs: number; event: SceneEvent }[] = [];
  for (let at = timeline.at - 1; at >= 0 && found.length < MAX_EVENTS; at--) {
    const { timeMs, events } = timeline.steps[at]!;
    for (const event of events) {
      if (event.space === space && vpn >= event.vpn && vpn < event.vpn + event.pages) found.push({ timeMs, event });
    }
  }
  return found.slice(0, MAX_EVENTS);
}
