/** The whole page. */
import type { ComponentType } from 'preact';
import { useEffect, useReducer } from 'preact/hooks';
import { ZOOMS } from '../picture/layout.ts';
import { PhysicalView } from './blocks/physical-view.tsx';
import { PictureView } from './blocks/picture-view.tsx';
import type { Model, Tab } from './model.ts';
import { Caption } from './panels/caption.tsx';
import { Details } from './panels/details.tsx';
import { EventList } from './panels/event-list.tsx';
import { Legend } from './panels/legend.tsx';
import { SpaceList } from './panels/space-list.tsx';
import { TimeBar } from './panels/time-bar.tsx';

const KIND_NAMES = { live: 'live', recording: 'recording', still: 'one moment', comparison: 'comparison' } as const;
const TABS: readonly { readonly tab: Tab; readonly name: string }[] = [
  { tab: 'addresses', name: 'Address space' },
  { tab: 'physical', name: 'Physical memory' },
];

type View = ComponentType<{ readonly model: Model }>;

/** Draws a part of the page anew as time goes on, without the rest. */
function Part({ model, view: Shown }: { readonly model: Model; readonly view: View }) {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  useEffect(() => model.listenAsPart(() => redraw(undefined)), [model]);
  return <Shown model={model} />;
}

export function App({ model }: { readonly model: Model }) {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  useEffect(() => model.listen(() => redraw(undefined)), [model]);
  const { scene } = model;
  const isMoving = scene.kind === 'live' || scene.kind === 'recording';
  return (
    <div class="app">
      <header>
        <h1>
          ptmon <span class="source">{scene.source}</span>
        </h1>
        <span class={`badge is-${model.ended === undefined && !model.isLost ? scene.kind : 'ended'}`}>
          {stateOf(model)}
        </span>
        <p class="title" title={scene.title}>
          {scene.title} · {scene.mode} paging
        </p>
        {scene.notes.length > 0 && (
          <details class="notes">
            <summary>{scene.notes.length === 1 ? '1 note' : `${scene.notes.length} notes`}</summary>
            {scene.notes.map((note) => (
              <p key={note}>{note}</p>
            ))}
          </details>
        )}
      </header>
      <Part model={model} view={SpaceList} />
      <Part model={model} view={Main} />
      <aside>
        <Part model={model} view={Details} />
        {scene.kind !== 'still' && <Part model={model} view={EventList} />}
      </aside>
      {isMoving && <Part model={model} view={TimeBar} />}
    </div>
  );
}

function Main({ model }: { readonly model: Model }) {
  const { shown } = model;
  return (
    <main>
      <div class="bar-top">
        <div role="tablist" aria-label="View">
          {TABS.map(({ tab, name }) => (
            <button
              key={tab}
              type="button"
              role="tab"
              aria-selected={model.tab === tab}
              onClick={() => model.set('tab', tab)}
            >
              {tab === 'addresses' && shown !== undefined ? shown.name : name}
            </button>
          ))}
        </div>
        <label class="zoom">
          A cell is a{' '}
          <select
            value={String(model.zoom ?? '')}
            onChange={({ currentTarget: { value } }) => model.set('zoom', value === '' ? null : Number(value))}
          >
            <option value="">page, where it fits</option>
            {ZOOMS.slice(0, 3).map(({ name }, zoom) => (
              <option key={name} value={String(zoom)}>
                {name}
              </option>
            ))}
          </select>
        </label>
      </div>
      {model.tab === 'addresses' ? (
        <>
          <Caption model={model} />
          <Legend model={model} />
          <PictureView model={model} />
        </>
      ) : (
        <PhysicalView model={model} />
      )}
    </main>
  );
}

function stateOf({ scene, ended, isPlaying, isLost }: Model): string {
  if (ended !== undefined) return `ended: ${ended}`;
  if (isLost) return 'connection lost, retrying';
  if (scene.kind === 'live' && !isPlaying) return 'paused';
  return KIND_NAMES[scene.kind];
}
