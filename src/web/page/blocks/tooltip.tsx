/** What the page under the mouse is, and how its address is walked. */
import { useEffect, useState } from 'preact/hooks';
import { addressText } from '../../picture/look.ts';
import { pageWords } from './area-block.tsx';
import type { Model } from '../model.ts';
import { server } from '../server.ts';

export interface TooltipState {
  readonly vpn: number;
  readonly x: number;
  readonly y: number;
}

/** The mouse rests before a walk is asked for. */
const REST_MS = 150;

export function Tooltip({ model, state }: { readonly model: Model; readonly state: TooltipState }) {
  const { vpn, x, y } = state;
  const space = model.shown!;
  const walk = useWalk(model, vpn, REST_MS);
  const steps = walk?.answer?.translation.steps ?? [];
  const isLeft = x < innerWidth / 2;
  const isTop = y < innerHeight / 2;
  const place = {
    [isLeft ? 'left' : 'right']: `${isLeft ? x + 14 : innerWidth - x + 14}px`,
    [isTop ? 'top' : 'bottom']: `${isTop ? y + 14 : innerHeight - y + 14}px`,
  };
  return (
    <div class="tooltip" style={place}>
      <strong>{pageWords(space, vpn)}</strong>
      {steps.map(({ entry, slot, value }) => (
        <code key={entry}>
          {entry} {slot} = {value}
        </code>
      ))}
    </div>
  );
}

export interface WalkState {
  readonly answer?: {
    readonly lines: readonly string[];
    readonly translation: { readonly steps: readonly { entry: string; slot: number; value: string }[] };
  };
  readonly failure?: string;
}

/** Asks the server for the walk of a page, as of the shown moment; undefined until it answers, and in a report. */
export function useWalk(model: Model, vpn: number, delayMs = 0): WalkState | undefined {
  const [walk, setWalk] = useState<WalkState & { readonly key: string }>();
  const { timeline, scene, space } = model;
  const root = model.shown?.root;
  const atMs = scene.kind === 'recording' ? timeline.timeMs : undefined;
  const key = `${space} ${vpn} ${atMs ?? timeline.at}`;
  useEffect(() => {
    if (model.isReport || root === undefined) return undefined;
    let isOver = false;
    const timer = setTimeout(() => {
      server.walk(root, addressText(vpn), atMs).then(
        (answer) => !isOver && setWalk({ key, answer }),
        (error: unknown) =>
          !isOver && setWalk({ key, failure: String(error instanceof Error ? error.message : error) }),
      );
    }, delayMs);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [key]);
  return walk?.key === key ? walk : undefined;
}
