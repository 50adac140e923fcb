/** Draws all canvases in one animation frame, and only while something is to be drawn; counts what that takes. */

/** Returns whether it wants another frame. */
export type Draw = (now: number) => boolean;

const draws = new Set<Draw>();
const waiting = new Set<Draw>();
let isScheduled = false;

/** For measurements: frames drawn, and milliseconds that drawing them took. */
export const drawn = { frames: 0, workMs: 0, longestMs: 0 };

export function addPainter(draw: Draw): () => void {
  draws.add(draw);
  wake(draw);
  return () => {
    draws.delete(draw);
    waiting.delete(draw);
  };
}

export function wake(draw: Draw): void {
  waiting.add(draw);
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(frame);
}

function frame(now: number): void {
  isScheduled = false;
  const began = performance.now();
  const due = [...waiting];
  waiting.clear();
  for (const draw of due) if (draws.has(draw) && draw(now)) wake(draw);
  const tookMs = performance.now() - began;
  drawn.frames++;
  drawn.workMs += tookMs;
  drawn.longestMs = Math.max(drawn.longestMs, tookMs);
}
