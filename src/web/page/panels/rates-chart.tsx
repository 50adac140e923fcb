/** Pages a second over time. */
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { ratesOf } from '../../picture/rates.ts';
import { currentTheme, onThemeChange } from '../draw/theme.ts';
import type { Model } from '../model.ts';

const BINS = 240;
const HEIGHT = 88;
/** Of a live guest, the last minute. */
const LIVE_MS = 60_000;
/** A chart is drawn no more often than this. */
const REDRAW_MS = 250;

export function RatesChart({ model, width }: { readonly model: Model; readonly width: number }) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | undefined>(undefined);
  const drawnAt = useRef(0);
  useLayoutEffect(() => {
    const make = () => {
      chart.current?.destroy();
      chart.current = new uPlot(optionsOf(width), dataOf(model), box.current!);
    };
    if (width > 0) make();
    const stop = onThemeChange(make);
    return () => {
      stop();
      chart.current?.destroy();
      chart.current = undefined;
    };
  }, [width]);
  useEffect(() => {
    const now = performance.now();
    if (now - drawnAt.current < REDRAW_MS && model.isLive) return;
    drawnAt.current = now;
    chart.current?.setData(dataOf(model));
  });
  return <div class="chart" ref={box} role="img" aria-label="Pages a second over time: in, out, and other changes" />;
}

function dataOf(model: Model): uPlot.AlignedData {
  const { steps } = model.timeline;
  const toMs = model.isLive ? Math.max(model.endMs, model.startMs + 1) : model.endMs;
  const fromMs = model.isLive ? Math.max(model.startMs, toMs - LIVE_MS) : 0;
  const { seconds, pagesIn, pagesOut, others } = ratesOf(steps, fromMs, toMs, BINS);
  return [seconds as number[], pagesIn as number[], pagesOut as number[], others as number[]];
}

function optionsOf(width: number): uPlot.Options {
  const { lines, text, grid } = currentTheme();
  const axis = {
    stroke: text,
    grid: { stroke: grid, width: 1 },
    ticks: { stroke: grid, width: 1 },
    font: '11px system-ui',
  };
  const series = (label: string, stroke: string): uPlot.Series => ({
    label,
    stroke,
    width: 1.5,
    fill: `${stroke}22`,
    points: { show: false },
  });
  return {
    width,
    height: HEIGHT,
    cursor: { show: false },
    legend: { show: false },
    scales: {
      x: { time: false },
      // A burst must not hide what is between bursts.
      y: { distr: 4, asinh: 5, range: (_chart, _min, max) => [0, Math.max(10, max)] },
    },
    axes: [
      { ...axis, size: 26, values: (_chart, values) => values.map((value) => `${value} s`) },
      {
        ...axis,
        size: 52,
        splits: (_chart, _axis, _min, max) => SPLITS.filter((value) => value <= max),
        values: (_chart, values) => values.map(shortNumber),
      },
    ],
    series: [{}, series('in', lines[0]), series('out', lines[1]), series('other', lines[2])],
  };
}

/** Of the vertical axis. */
const SPLITS = [0, 10, 100, 1000, 10_000, 100_000, 1_000_000];

/** The chart leaves out some of the splits. */
function shortNumber(value: number | null): string {
  if (value === null) return '';
  return value >= 1000 ? `${value / 1000}k` : String(value);
}
