/** Physical memory: a cell a frame, coloured by the process that has it; shared frames are marked. */
import { useEffect, useState } from 'preact/hooks';
import { arrangeAreas } from '../../picture/areas.ts';
import { type FrameRun, frameRuns } from '../../picture/frames.ts';
import { gridOf, pitchFor, zoomFor } from '../../picture/layout.ts';
import { addressText, bytesName } from '../../picture/look.ts';
import type { Area } from '../../picture/scene.ts';
import type { CellStyle } from '../draw/cell-canvas.ts';
import { Cells } from '../draw/cells.tsx';
import { mix, pixelOf, type Theme } from '../draw/theme.ts';
import type { Model } from '../model.ts';
import { type FramesAnswer, server } from '../server.ts';
import { useSize } from './picture-view.tsx';

const REFRESH_MS = 2000;
const HEADING = 34;
/** Blocks of frames that lie closer together than this are one. */
const MAX_GAP = 4096;

export function PhysicalView({ model }: { readonly model: Model }) {
  const box = useSize();
  const frames = useFrames(model);
  const [hover, setHover] = useState('');
  const [open, setOpen] = useState('');
  const areas = blocksOf(frames.runs);
  const zooms = areas.map((area) => zoomFor(area, model.zoom ?? 0));
  const counts = areas.map((area, at) => gridOf(area, zooms[at]!).cells);
  const pitch = pitchFor(counts, box.width, box.height - 70 - areas.length * HEADING);
  const shared = frames.runs.filter(({ owners }) => owners > 1).reduce((sum, { pages }) => sum + pages, 0);
  const all = frames.runs.reduce((sum, { pages }) => sum + pages, 0);
  return (
    <div class="picture physical" ref={box.ref}>
      <p class="facts">
        {bytesName(all * 4096)} of frames are mapped by {frames.owners.length} address spaces,{' '}
        {bytesName(shared * 4096)} of them by several, which have the colour of the first.{' '}
        <span role="status">{open !== '' ? open : hover}</span>
      </p>
      <Owners frames={frames} />
      {box.width > 0 &&
        areas.map((area, at) => (
          <FrameBlock
            key={area.vpn}
            area={area}
            zoom={zooms[at]!}
            pitch={pitch}
            width={box.width}
            frames={frames}
            onHover={setHover}
            onOpen={setOpen}
          />
        ))}
    </div>
  );
}

interface FrameBlockProps {
  readonly area: Area;
  readonly zoom: number;
  readonly pitch: number;
  readonly width: number;
  readonly frames: FramesAnswer;
  readonly onHover: (text: string) => void;
  readonly onOpen: (text: string) => void;
}

function FrameBlock({ area, zoom, pitch, width, frames, onHover, onOpen }: FrameBlockProps) {
  const grid = gridOf(area, zoom);
  const words = (cell: number) => frameWords(frames, grid.start + cell * grid.cellPages, grid.cellPages);
  const facts = `${bytesName(area.pages * 4096)}${zoom > 0 ? ` · a cell is ${bytesName(grid.cellPages * 4096)}` : ''}`;
  return (
    <section class="area" aria-label={`frames from ${addressText(area.vpn)} on`}>
      <h3>
        <code class="address">{addressText(area.vpn)}</code>
        <span class="facts">{facts}</span>
      </h3>
      <Cells
        label={`Frames from ${addressText(area.vpn)} on, ${facts}`}
        cells={grid.cells}
        pitch={pitch}
        width={width}
        version={frames}
        styles={(from, to, theme) =>
          Array.from({ length: to - from }, (_, at) => {
            const first = grid.start + (from + at) * grid.cellPages;
            return styleOf(runIn(frames.runs, first, grid.cellPages), theme);
          })
        }
        onHover={(cell) => onHover(cell === undefined ? '' : words(cell))}
        onOpen={(cell) => onOpen(words(cell))}
        describe={words}
        open={undefined}
      />
    </section>
  );
}

function Owners({ frames: { owners, runs } }: { readonly frames: FramesAnswer }) {
  const pages = owners.map((_, index) => runs.reduce((sum, run) => sum + (run.owner === index ? run.pages : 0), 0));
  const largest = owners.map((name, index) => ({ name, index, pages: pages[index]! })).filter((each) => each.pages > 0);
  largest.sort((a, b) => b.pages - a.pages);
  return (
    <ul class="legend" aria-label="Owners">
      {largest.slice(0, 12).map(({ name, index, pages: count }) => (
        <li key={index}>
          <span class={`swatch owner${index % 10}`} />
          {name} <b>{bytesName(count * 4096)}</b>
        </li>
      ))}
      <li>
        <span class="swatch shared" />
        shared, framed
      </li>
    </ul>
  );
}

/** Of a live guest the server's last look, of all else what the page has itself. */
function useFrames(model: Model): FramesAnswer {
  const [answer, setAnswer] = useState<FramesAnswer>({ owners: [], runs: [] });
  const { timeline } = model;
  useEffect(() => {
    if (!model.isLive) {
      const { spaces } = timeline;
      setAnswer({ owners: spaces.map(({ name }) => name), runs: frameRuns(spaces.map(({ map }) => map.runs)) });
      return undefined;
    }
    const ask = () => void server.frames().then(setAnswer, () => {});
    ask();
    const timer = setInterval(ask, REFRESH_MS);
    return () => clearInterval(timer);
  }, [model.isLive ? 'live' : timeline.at]);
  return answer;
}

function blocksOf(runs: readonly FrameRun[]): Area[] {
  const blocks: Area[] = [];
  // A name makes blocks go on across holes.
  for (const { vpn, pages } of arrangeAreas(runs.map(({ gfn, pages }) => ({ vpn: gfn, pages, name: 'RAM' })))) {
    const last = blocks.at(-1);
    if (last !== undefined && vpn - (last.vpn + last.pages) <= MAX_GAP)
      blocks[blocks.length - 1] = { ...last, pages: vpn + pages - last.vpn };
    else blocks.push({ vpn, pages, name: '' });
  }
  return blocks;
}

/** The first run that has a frame of [gfn, gfn + pages). */
function runIn(runs: readonly FrameRun[], gfn: number, pages: number): FrameRun | undefined {
  let [low, high] = [0, runs.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (runs[middle]!.gfn + runs[middle]!.pages > gfn) high = middle;
    else low = middle + 1;
  }
  const run = runs[low];
  return run !== undefined && run.gfn < gfn + pages ? run : undefined;
}

function styleOf(run: FrameRun | undefined, theme: Theme): CellStyle {
  if (run === undefined) return { color: pixelOf(theme.kinds.absent), isSolid: false, isMarked: false };
  const color = pixelOf(theme.owners[run.owner % theme.owners.length]!);
  const isShared = run.owners > 1;
  return { color: isShared ? mix(color, pixelOf(theme.shared), 0.35) : color, isSolid: false, isMarked: isShared };
}

function frameWords({ owners, runs }: FramesAnswer, gfn: number, pages: number): string {
  const run = runIn(runs, gfn, pages);
  if (run === undefined) return `Frame ${addressText(gfn)}: no process maps it.`;
  const others = run.owners > 1 ? ` and ${run.owners - 1} more` : '';
  return `Frame ${addressText(gfn)}: ${owners[run.owner] ?? ''}${others}.`;
}
