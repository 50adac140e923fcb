/** Time: play, pause, scrub, compare two moments; above it the rates. */
import { useEffect } from 'preact/hooks';
import { useSize } from '../blocks/picture-view.tsx';
import { differences } from '../../picture/runs.ts';
import type { Model } from '../model.ts';
import { RatesChart } from './rates-chart.tsx';

const SPEEDS = [0.25, 1, 4, 16] as const;

export function TimeBar({ model }: { readonly model: Model }) {
  const box = useSize();
  usePlayback(model);
  const { startMs, endMs, nowMs: atMs, isLive, isPlaying } = model;
  return (
    <footer class="time" ref={box.ref}>
      <div class="rates">
        <RatesChart model={model} width={box.width} />
        <p class="key">
          pages/s <i class="in" /> in <i class="out" /> out <i class="other" /> other
        </p>
      </div>
      <div class="controls">
        <button type="button" class="play" onClick={() => model.play(!isPlaying)}>
          {isPlaying ? '❚❚ Pause' : isLive ? '▶ Live' : '▶ Play'}
        </button>
        {!isLive && (
          <select
            aria-label="Speed"
            value={String(model.speed)}
            onChange={(event) => model.set('speed', Number(event.currentTarget.value))}
          >
            {SPEEDS.map((speed) => (
              <option key={speed} value={String(speed)}>
                {speed}×
              </option>
            ))}
          </select>
        )}
        <input
          type="range"
          aria-label="Time"
          aria-valuetext={`${(atMs / 1000).toFixed(3)} seconds`}
          min={startMs}
          max={Math.max(endMs, startMs + 1)}
          step="any"
          value={atMs}
          onInput={(event) => {
            model.play(false);
            model.seekTime(Number(event.currentTarget.value));
          }}
        />
        <output>
          {(atMs / 1000).toFixed(3)} <small>/ {(endMs / 1000).toFixed(3)} s</small>
        </output>
        <Comparison model={model} />
      </div>
    </footer>
  );
}

function Comparison({ model }: { readonly model: Model }) {
  const { base } = model;
  if (base === undefined) {
    return (
      <button type="button" title="Mark what differs from this moment" onClick={() => model.compareFromHere()}>
        Compare from here
      </button>
    );
  }
  const { gained, lost, changed } = differencesOf(model);
  return (
    <span class="comparison">
      <span role="status">
        since {(base.timeMs / 1000).toFixed(3)} s: <b>+{gained}</b> <b>−{lost}</b> <b>~{changed}</b> pages
      </span>
      <button type="button" onClick={() => model.stopComparing()}>
        Stop comparing
      </button>
    </span>
  );
}

function differencesOf(model: Model) {
  let [gained, lost, changed] = [0, 0, 0];
  for (const { pages, before, after } of differences(model.baseRuns ?? [], model.shown?.map.runs ?? [])) {
    if (before === undefined) gained += pages;
    else if (after === undefined) lost += pages;
    else changed += pages;
  }
  return { gained, lost, changed };
}

/** A recording goes on with the clock. */
function usePlayback(model: Model): void {
  const isRunning = model.isPlaying && !model.isLive;
  useEffect(() => {
    if (!isRunning) return undefined;
    let timeMs = model.nowMs;
    let last = performance.now();
    let request = requestAnimationFrame(function tick(now: number) {
      timeMs += (now - last) * model.speed;
      last = now;
      model.advanceTo(timeMs);
      if (model.timeline.isAtEnd) model.play(false);
      else request = requestAnimationFrame(tick);
    });
    return () => cancelAnimationFrame(request);
  }, [isRunning, model.speed]);
}
