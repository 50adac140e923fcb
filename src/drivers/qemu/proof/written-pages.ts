/** The process that knows which pages of QEMU were written: `native/written-pages.c` says what it does and what it is told. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { release } from 'node:os';
import { PtmonError } from '../../../core/error.ts';
import { buildHelper } from './build-helper.ts';

/** A process that is stopped or starved is given up after this time. */
const ANSWER_TIMEOUT_MS = 10_000;

/** Memory of QEMU, at its own addresses. */
export interface HostArea {
  readonly start: number;
  readonly byteLength: number;
  /** Bytes of a page: more than 4096 of huge pages. */
  readonly pageBytes: number;
}

interface Waiting {
  readonly resolve: (line: string) => void;
  readonly reject: (error: PtmonError) => void;
}

export class WrittenPages {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting: Waiting[] = [];
  #failure: PtmonError | undefined;

  private constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', (line) => this.#waiting.shift()?.resolve(line));
    child.on('error', (error) => this.#fail(error.message));
    child.on('close', (code, signal) => this.#fail(`it has ended (${signal ?? `exit code ${code}`})`));
    // Its end is told by `close`.
    child.stdin.on('error', () => {});
  }

  /**
   * Starts it for a process.
   *
   * @throws PtmonError `source-unavailable`, saying what this machine or this user lacks
   */
  static async open(pid: number): Promise<WrittenPages> {
    const built = await buildHelper();
    try {
      // A session of its own: what kills our process group does not kill it while it has QEMU's main thread stopped.
      const child = spawn(built.path, [String(pid)], { detached: true, stdio: ['pipe', 'pipe', 'ignore'] });
      const pages = new WrittenPages(child);
      await pages.#answer('ready');
      return pages;
    } finally {
      built.remove();
    }
  }

  async register({ start, byteLength, pageBytes }: HostArea): Promise<void> {
    await this.#ask(`register ${hex(start)} ${hex(byteLength)} ${hex(pageBytes)}`, 'ok');
  }

  /** Has writes to these pages noted from now on: once it resolves, none is missed. */
  async protect(pages: readonly number[]): Promise<void> {
    await this.#ask(`protect ${pages.map(hex).join(' ')}`, 'ok');
  }

  /** Which of the pages were written since they were protected; writes to those are no longer noted. */
  async scan(): Promise<readonly number[]> {
    const line = await this.#ask('scan', 'written');
    const words = line.split(' ').slice(1);
    // Of a process that was killed meanwhile the answer is cut off: of the pages that it does not name nothing is known.
    if (words.pop() !== 'end') throw unavailable('the process that asks for written pages did not finish its answer');
    return words.map((page) => Number.parseInt(page, 16));
  }

  /** Ends it, and with it every protection. */
  async close(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    const ended = new Promise((resolve) => {
      this.#child.once('close', resolve);
    });
    this.#child.stdin.end();
    await ended;
  }

  async #ask(command: string, expected: string): Promise<string> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#child.stdin.write(`${command}\n`);
    return this.#answer(expected);
  }

  async #answer(expected: string): Promise<string> {
    let timer: NodeJS.Timeout | undefined;
    const line = await new Promise<string>((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      this.#waiting.push({ resolve, reject });
      timer = setTimeout(() => this.#fail(`it has not answered for ${ANSWER_TIMEOUT_MS} ms`), ANSWER_TIMEOUT_MS);
    }).finally(() => clearTimeout(timer));
    if (line.split(' ')[0] === expected) return line;
    throw unavailable(whyNot(line));
  }

  #fail(why: string): void {
    this.#failure ??= unavailable(`the process that asks for written pages failed: ${why}`);
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
    this.#child.kill('SIGKILL');
  }
}

function unavailable(why: string): PtmonError {
  return new PtmonError('source-unavailable', why);
}

function hex(value: number): string {
  return value.toString(16);
}

/** @param line `error STEP ERRNO TEXT` */
function whyNot(line: string): string {
  const [, step, code, text] = /^error (\S+) (\d+) (.*)$/.exec(line) ?? [];
  const what = `${text} (${code})`;
  switch (step) {
    case 'attach':
      return code === EPERM
        ? 'QEMU may not be traced by this user: run as root, or with CAP_SYS_PTRACE'
        : `QEMU's main thread cannot be stopped: ${what}`;
    case 'ppoll':
      return "QEMU's main thread was busy for a second: try again";
    case 'userfaultfd':
      return `QEMU may not make a userfaultfd: ${what}. ptmon needs a kernel with CONFIG_USERFAULTFD, and no sandbox that forbids it`;
    case 'features':
    case 'pagemap':
      return `this kernel (${release()}) does not note writes: ${what}. ptmon needs Linux 6.7 or newer, with CONFIG_USERFAULTFD and CONFIG_PROC_PAGE_MONITOR`;
    case 'register':
      return code === EBUSY
        ? 'writes to this memory are tracked already, by another ptmon or by a snapshot or migration of QEMU'
        : `this kernel (${release()}) does not note writes to memory of this kind: ${what}`;
    default:
      return `unexpected answer "${line.slice(0, 80)}"`;
  }
}

const EPERM = '1';
const EBUSY = '16';
