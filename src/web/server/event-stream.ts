/** A live guest's steps for one page, as server-sent events: as many as the page takes, what it did not take in time merged into one. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { SSEStreamingApi } from 'hono/streaming';
import type { LivePart, SceneSource } from '../scene/scene-source.ts';
import { StepBuffer } from '../scene/step-buffer.ts';

/** Between two messages: a page draws no more often than that. */
const MESSAGE_MS = 50;
/** Comments keep the connection open through proxies that close idle ones. */
const IDLE_MS = 15_000;

/** Sends the scene, then its steps, until the page goes or the guest ends. */
export async function streamSteps(source: SceneSource, live: LivePart, stream: SSEStreamingApi): Promise<void> {
  const buffer = new StepBuffer();
  let hasProcesses = true;
  let ended: string | undefined;
  let wake = () => {};
  const unsubscribe = live.subscribe({
    onStep: (step) => {
      buffer.add(step);
      wake();
    },
    onProcesses: () => {
      hasProcesses = true;
      wake();
    },
    onEnd: (why) => {
      ended = why;
      wake();
    },
  });
  stream.onAbort(() => {
    unsubscribe();
    wake();
  });
  try {
    const scene = JSON.stringify(source.scene());
    await stream.writeSSE({ event: 'scene', data: scene });
    while (!stream.aborted) {
      if (hasProcesses) {
        hasProcesses = false;
        await stream.writeSSE({ event: 'processes', data: JSON.stringify(live.processes) });
      }
      if (!buffer.isEmpty) await stream.writeSSE({ event: 'step', data: JSON.stringify(buffer.take()) });
      if (ended !== undefined && buffer.isEmpty) {
        await stream.writeSSE({ event: 'end', data: JSON.stringify(ended) });
        return;
      }
      await sleep(MESSAGE_MS);
      if (!buffer.isEmpty || hasProcesses || ended !== undefined || stream.aborted) continue;
      const isIdle = await Promise.race([
        new Promise<false>((resolve) => (wake = () => resolve(false))),
        sleep(IDLE_MS, true, { ref: false }),
      ]);
      if (isIdle) await stream.write(': idle\n\n');
    }
  } finally {
    unsubscribe();
  }
}
