/** Scenes and sources for the tests of the server and of the page. */
import { makePaging } from '../../src/core/paging/format.ts';
import { walk } from '../../src/core/paging/walk.ts';
import { type PhysicalMemory, READ_NO_MEMORY } from '../../src/core/memory/physical-memory.ts';
import { lookOf } from '../../src/web/picture/look.ts';
import type { ProcessRow, Scene, SceneEvent, Step } from '../../src/web/picture/scene.ts';
import { FileSceneSource } from '../../src/web/scene/file-source.ts';
import type { LiveListener, SceneSource } from '../../src/web/scene/scene-source.ts';

export const TOKEN = 'a-token-of-the-tests';

/** A guest chooses names: markup, a script, text that turns directions, and quotes that could end an attribute. */
export const HOSTILE = `<img src=x onerror="document.title='owned'">'"\u202e</script><script>document.title='owned'</script>`;

const WRITABLE = lookOf(7, 1);

export const hostileEvent: SceneEvent = {
  kind: 'page-in',
  space: 0,
  vpn: 0x1000,
  pages: 1,
  gfn: 0x77,
  pageSize: 4096,
  who: `${HOSTILE}[7]:${HOSTILE}`,
  why: HOSTILE,
  vcpu: 0,
};

/** One process of that name, an area of that name, a note and events with it. */
export function hostileScene(kind: Scene['kind'] = 'recording'): Scene {
  return {
    kind,
    source: HOSTILE,
    title: HOSTILE,
    mode: '4-level',
    spaces: [
      {
        root: 0x1000,
        name: `${HOSTILE}[7]`,
        pid: 7,
        areas: [{ vpn: 0x1000, pages: 64, name: HOSTILE, rights: 'rw-p' }],
        runs: [[0x1002, 4, WRITABLE, 0x80]],
      },
    ],
    steps:
      kind === 'live'
        ? []
        : [
            {
              timeMs: 5,
              changes: [[0, 0x1000, 1, [[0x1000, 1, WRITABLE, 0x77]]]],
              events: [hostileEvent],
              note: HOSTILE,
            },
          ],
    ram: [],
    endMs: 5,
    notes: [HOSTILE],
  };
}

/** A source that has no tables. */
export function fileSource(scene: Scene): FileSceneSource {
  const paging = makePaging({ mode: '4-level' });
  const memory: PhysicalMemory = { readEntry: () => READ_NO_MEMORY };
  return new FileSceneSource({
    scene,
    walk: async ({ root, va }) => ({ paging, walk: walk(paging, memory, root, va) }),
  });
}

/** A live guest that does what the test says. */
export class TestGuest implements SceneSource {
  readonly listeners = new Set<LiveListener>();
  readonly followed: number[] = [];
  readonly #scene: Scene;
  readonly #file: FileSceneSource;
  readonly processes: readonly ProcessRow[];

  constructor(scene: Scene = hostileScene('live')) {
    this.#scene = scene;
    this.#file = fileSource(scene);
    this.processes = scene.spaces.map(({ name, pid }) => ({
      pid: pid ?? 0,
      name: name.replace(/\[\d+\]$/, ''),
      state: 'running',
      resident: 12,
      swapped: 1,
      large: 0,
      pagesIn: 3,
      pagesOut: 2,
      copies: 1,
      followed: true,
    }));
  }

  get live() {
    return {
      processes: this.processes,
      subscribe: (listener: LiveListener) => {
        this.listeners.add(listener);
        return () => void this.listeners.delete(listener);
      },
      follow: async (pid: number) => void this.followed.push(pid),
    };
  }

  step(step: Step): void {
    for (const listener of this.listeners) listener.onStep(step);
  }

  end(why: string): void {
    for (const listener of this.listeners) listener.onEnd(why);
  }

  scene = () => this.#scene;
  walk = (request: Parameters<SceneSource['walk']>[0]) => this.#file.walk(request);
  frames = () => this.#file.frames();
  counts = () => ({ pages: { 'page-in': 9 }, events: { 'page-in': 4 }, processes: this.processes, up: true });
  lines = () => undefined;
  close = async () => {};
}
