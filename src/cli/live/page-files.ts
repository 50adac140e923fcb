/** `--dump-pages`: keeps what is in each page when it comes in, in a file each. */
import { readdirSync } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../../driver/make-folder.ts';
import { hex } from '../../core/address/va.ts';
import { errorText, PtmonError } from '../../core/error.ts';
import type { MonitorEvent, PageEvent } from '../../core/monitor/events.ts';
import type { Driver } from '../../driver/driver.ts';
import { retry } from '../../driver/retry.ts';
import { readPhysicalBytes } from '../../guest/memory/physical-bytes.ts';
import type { Sink } from '../../sinks/sink.ts';

const PAGE_BYTES = 4096;
/** Of the index, which has a line for each file. */
const INDEX = 'pages.jsonl';

export interface PageFilesOptions {
  readonly folder: string;
  readonly driver: Pick<Driver, 'memory' | 'remote'>;
  readonly say: (line: string) => unknown;
  readonly signal: AbortSignal;
}

/**
 * Makes the folder. It must be empty: what this did not write, it never overwrites.
 *
 * @throws PtmonError `bad-argument` where the folder cannot be made, or has something in it
 */
export function openPageFiles(options: PageFilesOptions): PageFiles {
  const { folder } = options;
  try {
    makeFolder(folder);
    const [first] = readdirSync(folder);
    if (first !== undefined)
      throw new PtmonError('bad-argument', `--dump-pages ${folder}: is not empty; give a new folder`);
  } catch (error) {
    if (error instanceof PtmonError) throw error;
    const why = errorText(error);
    throw new PtmonError('bad-argument', `--dump-pages ${folder}: ${why}`, {}, { cause: error });
  }
  return new PageFiles(options);
}

/** A sink: the guest is stopped while it reads a page, where it is watched exactly. */
export class PageFiles implements Sink {
  readonly #options: PageFilesOptions;
  /** Of the next event: as `seq` in JSONL. */
  #seq = 0;
  #written = 0;
  #unread = 0;

  constructor(options: PageFilesOptions) {
    this.#options = options;
  }

  async write(event: MonitorEvent): Promise<void> {
    const seq = this.#seq++;
    if (event.kind === 'page-in') await this.#keep(event, seq);
  }

  async end(): Promise<void> {
    const { folder, say } = this.#options;
    const unread = this.#unread === 0 ? '' : `; ${this.#unread} could not be read (see ${INDEX})`;
    await say(`${this.#written} ${this.#written === 1 ? 'page' : 'pages'} kept in ${folder}${unread}.`);
  }

  async #keep(event: PageEvent, seq: number): Promise<void> {
    // An address within a page stands for the page.
    const offset = Number(event.va % BigInt(PAGE_BYTES));
    for (let at = 0; at < event.pages; at++) {
      const va = event.va - BigInt(offset) + BigInt(at * PAGE_BYTES);
      const pa = event.pa - offset + at * PAGE_BYTES;
      await this.#keepPage(event, { seq, va, pa });
    }
  }

  async #keepPage(
    event: PageEvent,
    { seq, va, pa }: { readonly seq: number; readonly va: bigint; readonly pa: number },
  ) {
    const { root, view, tags, pid, comm, map, time } = event;
    const about = { seq, view, root: hex(root), va: hex(va), pa: hex(pa), tags, pid, comm, map, time };
    const why = await this.#copy(pa, fileNameOf(seq, va));
    if (why === undefined) {
      try {
        return await this.#note({ file: fileNameOf(seq, va), ...about });
      } catch (error) {
        // Each file has a line.
        await unlink(join(this.#options.folder, fileNameOf(seq, va)));
        this.#written--;
        throw error;
      }
    }
    this.#unread++;
    await this.#note({ unread: why, ...about });
  }

  /** Returns why the page cannot be read; undefined where it is in its file. */
  async #copy(pa: number, name: string): Promise<string | undefined> {
    const { driver, signal } = this.#options;
    let bytes: Uint8Array;
    try {
      bytes = await retry(() => readPhysicalBytes(driver, pa, PAGE_BYTES), { remote: driver.remote, signal });
    } catch (error) {
      signal.throwIfAborted();
      return errorText(error);
    }
    if (bytes.length < PAGE_BYTES) return 'the physical address behind it is not RAM';
    await this.#toFile(name, 'wx', bytes);
    this.#written++;
    return undefined;
  }

  #note(line: object): Promise<void> {
    // The first line makes the file, which must not be there.
    const isFirst = this.#written + this.#unread === 1;
    return this.#toFile(INDEX, isFirst ? 'ax' : 'a', Buffer.from(`${JSON.stringify(line)}\n`));
  }

  /** @param flags `wx`, `ax`: a file that exists, or a link in its place, is never opened */
  async #toFile(name: string, flags: string, bytes: Uint8Array): Promise<void> {
    const path = join(this.#options.folder, name);
    try {
      const file = await open(path, flags, 0o600);
      try {
        const { size } = await file.stat();
        try {
          await file.writeFile(bytes);
        } catch (error) {
          // A disk that is full leaves no part of a page, and no part of a line.
          await (size === 0 ? unlink(path) : file.truncate(size));
          throw error;
        }
      } finally {
        await file.close();
      }
    } catch (error) {
      const why = errorText(error);
      throw new PtmonError('write-failed', `--dump-pages: ${path} cannot be written: ${why}`, {}, { cause: error });
    }
  }
}

/** Of numbers alone: a guest chooses the names of its processes and files. */
function fileNameOf(seq: number, va: bigint): string {
  return `${String(seq).padStart(8, '0')}-${va.toString(16).padStart(16, '0')}.bin`;
}
