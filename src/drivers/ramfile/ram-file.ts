/** A file that is the RAM of a guest, opened for reading. */
import { type BigIntStats, closeSync, fstatSync, openSync, statSync } from 'node:fs';
import { PtmonError } from '../../core/error.ts';
import { notAFile, openError, systemCode } from '../../driver/input-file.ts';
import { type PositionedSource, readFully } from './positioned-source.ts';

export class RamFile implements PositionedSource {
  /** Its path. */
  readonly name: string;
  /** What it had when it was opened; a guest's RAM does not change its size. */
  readonly byteLength: number;
  readonly #fd: number;
  readonly #identity: string;
  #isOpen = true;

  /** @throws PtmonError `source-unavailable` */
  constructor(path: string) {
    this.name = path;
    // Before it is opened: to open a pipe is to wait for its writer.
    if (!this.#atPath(() => statSync(path, { bigint: true })).isFile()) {
      throw notAFile(`the RAM file ${path}`);
    }
    this.#fd = this.#atPath(() => openSync(path, 'r'));
    const stats = fstatSync(this.#fd, { bigint: true });
    this.byteLength = Number(stats.size);
    this.#identity = identityOf(stats);
  }

  read(into: Uint8Array, position: number): void {
    this.#expectOpen();
    let count: number;
    try {
      count = readFully(this.#fd, into, position);
    } catch (error) {
      const code = systemCode(error);
      throw new PtmonError(
        // A disk may recover; a file that its server has forgotten does not come back.
        code === 'EIO' || code === 'EAGAIN' ? 'read-failed' : 'source-unavailable',
        `${this.name}: ${into.length} bytes at position ${position} cannot be read (${code})`,
        {},
        { cause: error },
      );
    }
    if (count < into.length) throw this.#tooShort(position + into.length);
  }

  check(): void {
    this.#expectOpen();
    const size = Number(fstatSync(this.#fd, { bigint: true }).size);
    if (size < this.byteLength) throw this.#tooShort(this.byteLength);
    if (identityOf(this.#atPath(() => statSync(this.name, { bigint: true }), 'was removed')) !== this.#identity) {
      throw new PtmonError(
        'source-unavailable',
        `${this.name} was replaced by another file while it was watched: a guest was started again`,
      );
    }
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#fd);
  }

  #expectOpen(): void {
    if (!this.#isOpen) throw new PtmonError('closed', `${this.name} is closed`);
  }

  #tooShort(endPosition: number): PtmonError {
    const size = Number(fstatSync(this.#fd, { bigint: true }).size);
    const what = size < this.byteLength ? 'was truncated while it was watched' : 'is too small';
    const wanted = Math.max(endPosition, size < this.byteLength ? this.byteLength : 0);
    return new PtmonError('source-unavailable', `${this.name} ${what}: ${wanted} bytes expected, ${size} there`);
  }

  #atPath<T>(call: () => T, whenMissing?: string): T {
    try {
      return call();
    } catch (error) {
      const name = `the RAM file ${this.name}`;
      if (whenMissing === undefined || systemCode(error) !== 'ENOENT') throw openError(name, error);
      throw new PtmonError('source-unavailable', `${name} ${whenMissing}`, {}, { cause: error });
    }
  }
}

function identityOf({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}
