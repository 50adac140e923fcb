/** The shown address space: all areas that have something, with cells that fit. */
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { gridOf, pitchFor, zoomFor } from '../../picture/layout.ts';
import type { Area } from '../../picture/scene.ts';
import { AreaBlock } from './area-block.tsx';
import type { Model } from '../model.ts';
import { Tooltip, type TooltipState } from './tooltip.tsx';

/** Pixels of a block beside its cells. */
const HEADING = 34;

export function PictureView({ model }: { readonly model: Model }) {
  const box = useSize();
  const [tooltip, setTooltip] = useState<TooltipState>();
  const space = model.shown;
  if (space === undefined) return <p class="empty">No address space to show.</p>;
  const areas = space.areas.filter((area) => area.pages > 0);
  const zooms = areas.map((area) => zoomFor(area, model.zoom ?? 0));
  const counts = areas.map((area, at) => gridOf(area, zooms[at]!).cells);
  const pitch = pitchFor(counts, box.width, box.height - areas.length * HEADING);
  return (
    <div class="picture" ref={box.ref}>
      {areas.length === 0 && <p class="empty">{space.name} maps nothing at this moment.</p>}
      {box.width > 0 &&
        areas.map((area, at) => (
          <AreaBlock
            key={keyOf(model, area)}
            model={model}
            space={space}
            area={area}
            zoom={zooms[at]!}
            pitch={pitch}
            width={box.width}
            onHover={(vpn, where) => setTooltip(vpn === undefined ? undefined : { vpn, ...where })}
          />
        ))}
      {tooltip !== undefined && <Tooltip model={model} state={tooltip} />}
    </div>
  );
}

function keyOf(model: Model, { vpn, name }: Area): string {
  return `${model.space} ${vpn} ${name}`;
}

/** The inner size of an element, as it changes. */
export function useSize() {
  const ref = useRef<HTMLDivElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const element = ref.current;
    if (element === null) return undefined;
    const measure = () => {
      const style = getComputedStyle(element);
      const width = element.clientWidth - Number.parseFloat(style.paddingLeft) - Number.parseFloat(style.paddingRight);
      setSize({ width: Math.floor(width), height: element.clientHeight });
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);
  return { ref, ...size };
}
