/** The address spaces; of a live guest, all its processes. */
import { useEffect, useState } from 'preact/hooks';
import { bytesName } from '../../picture/look.ts';
import type { ProcessRow } from '../../picture/scene.ts';
import { totalsOf } from '../../picture/runs.ts';
import type { Model } from '../model.ts';
import { failureText, server } from '../server.ts';

export function SpaceList({ model }: { readonly model: Model }) {
  return (
    <nav class="spaces" aria-label={model.isLive ? 'Processes' : 'Address spaces'}>
      <h2>{model.isLive ? 'Processes' : 'Address spaces'}</h2>
      {model.isLive ? <Processes model={model} /> : <Spaces model={model} />}
    </nav>
  );
}

function Spaces({ model }: { readonly model: Model }) {
  const { spaces } = model.timeline;
  return (
    <ul>
      {spaces.map(({ name, root, map }, at) => {
        const { mapped, swapped } = totalsOf(map.runs);
        return (
          <li key={at}>
            <button type="button" aria-current={at === model.space} onClick={() => model.show(at)}>
              <span class="name" title={`${name}, root 0x${root.toString(16)}`}>
                {name}
              </span>
              <span class="facts">
                {mapped === 0 ? 'empty' : bytesName(mapped * 4096)}
                {swapped > 0 ? ` +${bytesName(swapped * 4096)} swapped` : ''}
              </span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}

function Processes({ model }: { readonly model: Model }) {
  const [failure, setFailure] = useState('');
  useEffect(() => setFailure(''), [model.isLost]);
  const rows = [...model.processes].sort((a, b) => b.resident - a.resident);
  const most = Math.max(1, rows[0]?.resident ?? 1);
  const choose = async ({ pid }: ProcessRow) => {
    try {
      setFailure('');
      await server.follow(pid);
      showPid(model, pid);
    } catch (error) {
      setFailure(failureText(error));
    }
  };
  const shown = model.shown?.pid;
  return (
    <>
      {failure !== '' && (
        <p class="notice" role="alert">
          {failure}
        </p>
      )}
      <ul>
        {rows.map((row) => (
          <li key={row.pid}>
            <button
              type="button"
              aria-current={row.pid === shown}
              title={row.followed ? 'followed: its events are listed' : 'follow its memory'}
              onClick={() => void choose(row)}
            >
              <span class="name">
                {row.name}
                <small>[{row.pid}]</small>
                {row.followed && <span class="dot" aria-label="followed" />}
              </span>
              <span class="facts">
                {bytesName(row.resident * 4096)}
                {row.swapped > 0 ? ` +${bytesName(row.swapped * 4096)} sw` : ''}
              </span>
              <span class="bar" style={{ width: `${(100 * row.resident) / most}%` }} />
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}

/** The space comes with the stream, which may be later than the answer. */
function showPid(model: Model, pid: number, tries = 40): void {
  const at = model.timeline.spaces.findLastIndex((space) => space.pid === pid);
  if (at >= 0) model.show(at);
  else if (tries > 0) setTimeout(() => showPid(model, pid, tries - 1), 50);
}
