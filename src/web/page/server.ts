/** What the page asks of the server that it came from. A report has no server. */
import type { FrameRun } from '../picture/frames.ts';
import type { ProcessRow, Scene, Step } from '../picture/scene.ts';

/** A walk as `ptmon translate` says it. */
export interface WalkAnswer {
  readonly lines: readonly string[];
  /** Of a live guest: every process that maps the frame, and where. */
  readonly sharers?: readonly string[];
  readonly translation: {
    readonly translates: boolean;
    readonly steps: readonly { readonly entry: string; readonly slot: number; readonly value: string }[];
  };
}

export interface FramesAnswer {
  readonly owners: readonly string[];
  readonly runs: readonly FrameRun[];
}

export interface StreamListener {
  readonly onScene: (scene: Scene) => void;
  readonly onStep: (step: Step) => void;
  readonly onProcesses: (rows: readonly ProcessRow[]) => void;
  readonly onEnd: (why: string) => void;
  /** @param isLost false once it is there again */
  readonly onLost: (isLost: boolean) => void;
}

const token = new URLSearchParams(location.search).get('token') ?? '';

export const server = {
  scene: () => ask<Scene>('/api/scene'),
  frames: () => ask<FramesAnswer>('/api/frames'),

  walk(root: number, va: string, atMs: number | undefined): Promise<WalkAnswer> {
    const at = atMs === undefined ? '' : `&at=${atMs}`;
    return ask<WalkAnswer>(`/api/walk?root=0x${root.toString(16)}&va=${va}${at}`);
  },

  follow: (pid: number) => ask<unknown>(`/api/follow?pid=${pid}`, 'POST'),

  stream({ onScene, onStep, onProcesses, onEnd, onLost }: StreamListener): void {
    const events = new EventSource(`/api/stream?token=${encodeURIComponent(token)}`);
    const on = (name: string, take: (data: unknown) => void) =>
      events.addEventListener(name, (event: MessageEvent<string>) => take(JSON.parse(event.data)));
    on('scene', (scene) => {
      onLost(false);
      onScene(scene as Scene);
    });
    on('step', (step) => onStep(step as Step));
    on('processes', (rows) => onProcesses(rows as readonly ProcessRow[]));
    on('end', (why) => {
      events.close();
      onEnd(String(why));
    });
    events.addEventListener('error', () => onLost(true));
  },
};

async function ask<T>(path: string, method = 'GET'): Promise<T> {
  const request = fetch(path, { method, headers: { authorization: `Bearer ${token}` } });
  // What browsers say of it differs, and names nothing.
  const response = await request.catch(() => Promise.reject(new Error('ptmon serve does not answer')));
  if (response.ok) return (await response.json()) as T;
  const text = await response.text();
  throw new Error(messageIn(text) ?? `${response.status}: ${text}`);
}

function messageIn(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { error?: { message?: string } }).error?.message;
  } catch {
    return undefined;
  }
}

/** What the page shows of a failed request. */
export function failureText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
