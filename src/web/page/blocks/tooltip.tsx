/** What the page under the mouse is, and how its address is walked. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { addressText } from '../../picture/look.ts';
import { pageWords } from './area-block.tsx';
import type { Model } from '../model.ts';
import { failureText, server } from '../server.ts';

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
    readonly sharers?: readonly string[];
    readonly translation: { readonly steps: readonly { entry: string; slot: number; value: string }[] };
  };
  readonly failure?: string;
}

/** Between two walks of a page that is open while a guest runs. */
const LIVE_MS = 500;

/**
 * Asks the server for the walk of a page: of a recording as of the shown moment, of a live guest as of now. Undefined until it answers,
 * and in a report.
 */
export function useWalk(model: Model, vpn: number, delayMs = 0): WalkState | undefined {
  const [walk, setWalk] = useState<WalkState & { readonly shownFor: string }>();
  const { timeline, scene, space } = model;
  const root = model.shown?.root;
  const atMs = scene.kind === 'recording' ? timeline.timeMs : undefined;
  const page = `${space} ${vpn}`;
  const key = `${page} ${atMs ?? Math.floor(timeline.timeMs / LIVE_MS)}`;
  // The walk of a live guest stays until the next one has come: with each change it would vanish and come back.
  const shownFor = scene.kind === 'live' ? page : key;
  const latest = useRef(shownFor);
  latest.current = shownFor;
  useEffect(() => {
    if (model.isReport || root === undefined) return undefined;
    const take = (state: WalkState) => latest.current === shownFor && setWalk({ shownFor, ...state });
    const timer = setTimeout(() => {
      server.walk(root, addressText(vpn), atMs).then(
        (answer) => take({ answer }),
        (error: unknown) => take({ failure: failureText(error) }),
      );
    }, delayMs);
    return () => clearTimeout(timer);
  }, [key]);
  return walk?.shownFor === shownFor ? walk : undefined;
}
