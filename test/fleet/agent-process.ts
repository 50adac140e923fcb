/** `ptmon agent` as a process, on recordings alone: other tests may run VMs on this host. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';

const MAIN = resolve('dist/cli/main.js');
/** Far longer than anything takes, on a machine that does much else. */
const LIMIT_MS = 60_000;

export interface StartedAgent {
  readonly folder: string;
  readonly policyPath: string;
  readonly child: ChildProcess;
  readonly stderr: () => string;
  /** Resolves when it is true. @throws where that takes too long */
  until(isTrue: () => boolean | Promise<boolean>): Promise<void>;
  status(): Promise<{ vms: readonly VmState[]; reloads: number }>;
  get(path: string, headers?: Record<string, string>): Promise<{ status: number; text: string }>;
  /** Lines of the segments that are complete, with the facts of each. */
  lines(): (Record<string, unknown> & { readonly of: Record<string, unknown> })[];
  kill(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>;
  /** As Ctrl-C does it: every process of its group gets the signal. */
  killGroup(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>;
}

interface VmState {
  readonly vm: string;
  readonly state: string;
  readonly pid: number | null;
  readonly restarts: number;
  readonly counts: { readonly events: number; readonly limited: number; readonly unwritten: number };
}

export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-agent-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** Names of VMs are those of recordings: a rule for others would watch VMs of other tests. */
export function policyOf(traces: readonly object[], more: object = {}): object {
  const rules = [{ vms: ['test-*'] }];
  return {
    version: 1,
    host: 'host-1',
    folder: 'data',
    rules,
    traces,
    http: { port: 0 },
    fileSeconds: 1,
    format: 'jsonl',
    ...more,
  };
}

export function writePolicy(folder: string, policy: object): string {
  const path = join(folder, 'policy.json');
  writeFileSync(path, JSON.stringify(policy));
  return path;
}

/** @param openFiles that it may have */
export async function startAgent(
  policy: object,
  folder: string = makeFolder(),
  openFiles: number | 'unlimited' = 'unlimited',
): Promise<StartedAgent> {
  const policyPath = writePolicy(folder, policy);
  const limit = openFiles === 'unlimited' ? '' : `ulimit -n ${openFiles}; `;
  const child = spawn('sh', ['-c', `${limit}exec "$0" "$@"`, process.execPath, MAIN, 'agent', '--config', policyPath], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const closed = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  const until = async (isTrue: () => boolean | Promise<boolean>) => {
    const limit = performance.now() + LIMIT_MS;
    while (!(await isTrue())) {
      if (performance.now() > limit || child.exitCode !== null) throw new Error(`it did not come true\n${stderr}`);
      await sleep(50);
    }
  };
  await until(() => stderr.includes('Writing to'));
  const port = /127\.0\.0\.1:(\d+)/.exec(stderr)?.[1];
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const { request } = await import('node:http');
    return new Promise<{ status: number; text: string }>((resolve, reject) => {
      const asked = request({ host: '127.0.0.1', port, path, headers }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('end', () => resolve({ status: response.statusCode!, text }));
      });
      asked.on('error', reject).end();
    });
  };
  return {
    folder,
    policyPath,
    child,
    stderr: () => stderr,
    until,
    get,
    status: async () => JSON.parse((await get('/healthz')).text),
    lines: () => journalLines(join(folder, 'data/journal')),
    kill: async (signal) => {
      child.kill(signal);
      return closed;
    },
    killGroup: async (signal) => {
      process.kill(-child.pid!, signal);
      return closed;
    },
  };
}

export function journalLines(journal: string): (Record<string, unknown> & { readonly of: Record<string, unknown> })[] {
  return readdirSync(journal)
    .filter((name) => name.endsWith('.jsonl'))
    .sort()
    .flatMap((name) => {
      const [of, ...lines] = readFileSync(join(journal, name), 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      return lines.map((line) => ({ ...line, of: of! }));
    });
}

/** Whether a process runs: one that has ended and that its parent has not looked at does not. */
export function runs(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
