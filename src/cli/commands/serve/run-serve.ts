/** Serves the page until the command is interrupted or the guest ends. */
import { PtmonError } from '../../../core/error.ts';
import { attach } from '../../../guest/index.ts';
import type { SpaceChoice } from '../../../web/scene/snapshot-scene.ts';
import type { SceneSource } from '../../../web/scene/scene-source.ts';
import { LiveSceneSource } from '../../../web/scene/live-source.ts';
import { makeToken } from '../../../web/server/access.ts';
import { makeApp } from '../../../web/server/app.ts';
import { addressOf, listen } from '../../../web/server/listen.ts';
import type { Streams } from '../../context.ts';
import { printStatus } from '../../output/status-lines.ts';
import { explain } from '../../web/explain.ts';
import { choiceOf, openFiles, type SpaceOptions } from '../../web/open-scene.ts';

export interface ServeOptions extends SpaceOptions {
  readonly qmp?: string;
  readonly gdb?: string;
  readonly vm?: string;
  readonly mode: 'exact' | 'sample';
  readonly listen: string;
  readonly port: number;
  readonly token?: string;
  /** Arguments that are no sources, because the options name a live guest. */
  readonly rest?: readonly string[];
}

/** Short tokens can be guessed. */
const MIN_TOKEN = 16;

/**
 * @param paths the files; undefined for the live guest that the options name
 * @throws PtmonError as the source; `bad-argument` where the address cannot be listened on
 */
export async function runServe(
  paths: readonly string[] | undefined,
  options: ServeOptions,
  { output, messages }: Streams,
  signal: AbortSignal,
): Promise<void> {
  const { listen: host, port, token = makeToken() } = options;
  if (!/^[\w-]+$/.test(token) || token.length < MIN_TOKEN)
    throw new PtmonError('bad-argument', `--token: give at least ${MIN_TOKEN} letters, digits, "-" and "_"`);
  const say = (line: string) => void printStatus(messages, line);
  const source =
    paths === undefined ? await openLive(options, say, signal) : await openFiles(paths, fileChoice(options), signal);
  try {
    const app = makeApp({ source, explain, token, listen: host, signal });
    const listening = await listen(app, { host, port });
    try {
      await output.write(`http://${addressOf(host, listening.port)}/?token=${token}\n`);
      await output.flush();
      await printStatus(messages, `Serving ${source.scene().source}. Ctrl-C ends it.`);
      if (!isLoopback(host))
        await printStatus(messages, 'Not encrypted: anyone who can read the traffic can read the token and the guest.');
      await ended(source, signal, say);
    } finally {
      await listening.close();
    }
  } finally {
    await source.close();
  }
}

async function openLive(
  { qmp, gdb, mode, pid, comm, root, vm, rest = [] }: ServeOptions,
  onNotice: (line: string) => void,
  signal: AbortSignal,
): Promise<SceneSource> {
  if (rest.length > 0)
    throw new PtmonError('bad-argument', `unexpected argument "${rest[0]}": the options name a live guest`);
  if (root !== undefined)
    throw new PtmonError('bad-argument', '--root is for a dump: for a live guest, give --pid or --comm');
  if (qmp === undefined)
    throw new PtmonError('bad-argument', 'a live guest needs --qmp: the address of its QMP socket');
  const isExact = mode === 'exact';
  if (isExact && gdb === undefined)
    throw new PtmonError('bad-argument', '--mode exact needs --gdb: start QEMU with -gdb');
  const guest = await attach(
    { qmp, ...(isExact && gdb !== undefined && { gdb }), ...(vm !== undefined && { name: vm }) },
    { signal },
  );
  const by = pid === undefined ? (comm === undefined ? undefined : { command: comm }) : { pid };
  return LiveSceneSource.open(guest, { isExact, onNotice, ...(by && { by }) });
}

function fileChoice(options: ServeOptions): SpaceChoice {
  if (options.mode === 'exact')
    throw new PtmonError('bad-argument', '--mode is for a live guest: leave it out with a file');
  return choiceOf(options);
}

/** Resolves when the signal comes; when the guest ends, the page goes on showing what was last. */
function ended({ live }: SceneSource, signal: AbortSignal, say: (line: string) => void): Promise<void> {
  return new Promise((resolve) => {
    const unsubscribe = live?.subscribe({
      onStep: () => {},
      onProcesses: () => {},
      onEnd: (why) => {
        if (!signal.aborted) say(`Nothing more comes: ${why}. The page stays until Ctrl-C.`);
      },
    });
    const end = () => {
      unsubscribe?.();
      resolve();
    };
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}
