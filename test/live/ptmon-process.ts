/** The command as a process of its own; whatever is waited for of it is waited for so long and no longer. */
import { type ChildProcess, execFileSync, spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Far longer than anything takes, on a machine that does much else. */
const LIMIT_MS = 30_000;

export interface PtmonProcess {
  readonly child: ChildProcess;
  readonly stdout: string;
  readonly stderr: string;
  /** Its exit code or the signal that ended it. @throws where it has not ended in time, which counts from the boot of its guest on */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  /** Resolves when standard output has so many lines, or the process has ended. @throws where that is not so in time */
  lines(count: number): Promise<void>;
  /** Its last line, as JSON. */
  lastLine(): unknown;
}

/** Starts `ptmon` with these arguments; it is killed when the test ends. */
export function startPtmon(...args: readonly string[]): PtmonProcess {
  return startNode(MAIN, ...args);
}

/** The same, as another user, in a process group of its own, or with other variables. */
export function startPtmonWith(
  options: Pick<SpawnOptions, 'uid' | 'detached' | 'env'>,
  ...args: readonly string[]
): PtmonProcess {
  return startProgram([MAIN, ...args], options);
}

/** The same, with a bug that shows after so long. */
export function startCrashingPtmon(afterMs: number, ...args: readonly string[]): PtmonProcess {
  const bug = `setTimeout(() => { throw new Error('a bug') }, ${afterMs})`;
  return startNode('--import', `data:text/javascript,${encodeURIComponent(bug)}`, MAIN, ...args);
}

/** Processes that this one has started, as a guardian. */
export function childrenOf(pid: number): number[] {
  const printed = execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' });
  return printed.trim().split(/\s+/).map(Number);
}

/** Whether a process runs, of whomever it is a child: one that has ended and waits for its parent has no command line. */
export function isAlive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`).length > 0;
  } catch {
    return false;
  }
}

/** Starts Node with these arguments; it is killed when the test ends. */
export function startNode(...args: readonly string[]): PtmonProcess {
  return startProgram(args, {});
}

function startProgram(args: readonly string[], options: SpawnOptions): PtmonProcess {
  const child = spawn(process.execPath, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const closed = once(child, 'close').then(
    ([code, signal]: (number | NodeJS.Signals | null)[]) => code ?? signal ?? null,
  );
  let isClosed = false;
  void closed.then(() => (isClosed = true));
  /** How long a guest boots depends on the machine, and has a limit of its own. */
  const booted = async () => {
    if (args[1] !== 'run') return;
    while (!isClosed && !stderr.includes('Booted: ')) await sleep(20);
  };
  const said = () => `\n${args.join(' ')}\n${stdout.slice(-1000)}\n${stderr.slice(-1000)}`;
  return {
    child,
    get stdout() {
      return stdout;
    },
    get stderr() {
      return stderr;
    },
    get ended() {
      return booted().then(() => within(closed, () => `it has not ended within ${LIMIT_MS} ms${said()}`));
    },
    lines: async (count) => {
      let isOver = false;
      const enough = (async () => {
        while (!isOver && !isClosed && stdout.split('\n').length <= count) await sleep(5);
      })();
      await within(enough, () => `it has not said ${count} lines within ${LIMIT_MS} ms${said()}`);
      isOver = true;
    },
    lastLine: () => JSON.parse(stdout.trimEnd().split('\n').at(-1)!),
  };
}

/** @throws with `message` where the promise is not settled in time */
async function within<T>(promise: Promise<T>, message: () => string): Promise<T> {
  const limit = new AbortController();
  const late = sleep(LIMIT_MS, undefined, { signal: limit.signal }).then(() => {
    throw new Error(message());
  });
  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    limit.abort();
  }
}
