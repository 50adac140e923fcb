/** Hosts as network namespaces, each with a cable to the broker's, and the processes on them. Needs root, iproute2 and nats-server. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

/** What is missing for these tests; undefined where nothing is. */
export function missingForHosts(): string | undefined {
  const missing = ['ip', 'nats-server', 'mount'].filter((program) => {
    try {
      execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
      return false;
    } catch {
      return true;
    }
  });
  if (missing.length > 0) return `not installed: ${missing.join(', ')} (apt-get install iproute2 nats-server mount)`;
  return process.getuid?.() === 0 ? undefined : 'network namespaces need root';
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** A process that is started again whenever it ends. */
export class Supervised {
  readonly #command: readonly string[];
  readonly #namespace: string;
  #child: ChildProcess | undefined;
  #isStopped = false;
  #delayMs = 300;
  log = '';

  constructor(namespace: string, command: readonly string[]) {
    this.#namespace = namespace;
    this.#command = command;
    this.#start();
  }

  get pid(): number | undefined {
    return this.#child?.exitCode === null && this.#child.signalCode === null ? this.#child.pid : undefined;
  }

  /** @param downMs how long it stays away */
  kill(downMs: number): void {
    this.#delayMs = downMs;
    this.#child?.kill('SIGKILL');
  }

  /** Returns how it ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | NodeJS.Signals | undefined> {
    this.#isStopped = true;
    const child = this.#child;
    if (child === undefined || this.pid === undefined) return undefined;
    const closed = once(child, 'close');
    child.kill(signal);
    const [code, by] = (await closed) as [number | null, NodeJS.Signals | null];
    return code ?? by ?? undefined;
  }

  /** Processes that it has started. */
  get children(): readonly number[] {
    const { pid } = this;
    try {
      const text = pid === undefined ? '' : readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1');
      return text.trim().split(' ').filter(Boolean).map(Number);
    } catch {
      return [];
    }
  }

  #start(): void {
    // `ip netns exec` becomes the command: it is the process that this one knows.
    const child = spawn('ip', ['netns', 'exec', this.#namespace, ...this.#command], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (this.log = (this.log + text).slice(-20_000)));
    child.on('close', () => {
      if (this.#isStopped) return;
      setTimeout(() => {
        if (!this.#isStopped) this.#start();
      }, this.#delayMs);
      this.#delayMs = 300;
    });
  }
}

export class Network {
  readonly folder = mkdtempSync(join(tmpdir(), 'ptmon-fleet-'));
  readonly #names: string[] = [];
  readonly #mounts: string[] = [];
  readonly #prefix = `ptmon${process.pid}`;

  constructor() {
    this.#addNamespace('broker');
  }

  namespace(host: string): string {
    return `${this.#prefix}-${host}`;
  }

  /** Returns the address of the broker, as this host sees it. */
  addHost(host: string): string {
    this.#addNamespace(host);
    const number = this.#names.length;
    // The names of cables have at most 15 characters, and are there for a moment only.
    const [near, far] = [`pt${process.pid}a`, `pt${process.pid}b`];
    ip('link', 'add', near, 'type', 'veth', 'peer', 'name', far);
    ip('link', 'set', near, 'netns', this.namespace(host), 'name', 'cable');
    ip('link', 'set', far, 'netns', this.namespace('broker'), 'name', `to${number}`);
    ip('-n', this.namespace(host), 'addr', 'add', `10.77.${number}.2/24`, 'dev', 'cable');
    ip('-n', this.namespace('broker'), 'addr', 'add', `10.77.${number}.1/24`, 'dev', `to${number}`);
    ip('-n', this.namespace('broker'), 'link', 'set', `to${number}`, 'up');
    this.setCable(host, 'up');
    return `10.77.${number}.1:4222`;
  }

  setCable(host: string, state: 'up' | 'down'): void {
    ip('-n', this.namespace(host), 'link', 'set', 'cable', state);
  }

  /** A disk of its own. */
  addDisk(name: string, mebibytes: number): string {
    const path = join(this.folder, name);
    mkdirSync(path);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'ptmon', path]);
    this.#mounts.push(path);
    return path;
  }

  remove(): void {
    for (const path of this.#mounts) execFileSync('umount', ['-l', path]);
    for (const name of this.#names) ip('netns', 'del', name);
    rmSync(this.folder, { recursive: true, force: true });
  }

  #addNamespace(host: string): void {
    const name = this.namespace(host);
    ip('netns', 'add', name);
    this.#names.push(name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
  }
}

/** Leaves no byte free. */
export function fillDisk(disk: string): void {
  try {
    for (let size = 2 ** 20; size >= 4096; size /= 16)
      for (let number = 0; number < 1000; number++)
        writeFileSync(join(disk, `filling-${size}-${number}`), new Uint8Array(size), { flag: 'wx' });
  } catch {
    // It is full, as far as pieces of this size fit.
  }
  try {
    for (let number = 0; number < 1000; number++)
      writeFileSync(join(disk, `filling-${number}`), new Uint8Array(4096), { flag: 'wx' });
  } catch {
    // It is full.
  }
}

export function freeDisk(disk: string): void {
  execFileSync('sh', ['-c', 'rm -f "$1"/filling-*', 'sh', disk]);
}
