/** A dump's file, opened for reading. */
import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import { PtmonError } from '../../core/error.ts';
import { notAFile, openError, systemCode } from '../../driver/input-file.ts';
import { readFully } from '../ramfile/positioned-source.ts';
import { corrupt, type DumpBytes } from './dump-bytes.ts';

export class FileBytes implements DumpBytes {
  /** Its path. */
  readonly name: string;
  readonly byteLength: number;
  readonly #fd: number;
  #isOpen = true;

  /** @throws PtmonError `source-unavailable` */
  constructor(path: string) {
    this.name = path;
    // Before it is opened: to open a pipe is to wait for its writer.
    if (!atPath(path, () => statSync(path)).isFile()) {
      throw notAFile(path);
    }
    this.#fd = atPath(path, () => openSync(path, 'r'));
    this.byteLength = fstatSync(this.#fd).size;
  }

  read(into: Uint8Array, position: number): void {
    if (!this.#isOpen) throw new PtmonError('closed', `${this.name} is closed`);
    let count: number;
    try {
      count = readFully(this.#fd, into, position);
    } catch (error) {
      const why = `${into.length} bytes at position ${position} cannot be read (${systemCode(error)})`;
      throw new PtmonError('source-unavailable', `${this.name}: ${why}`, {}, { cause: error });
    }
    if (count < into.length) throw corrupt(this.name, position, `the file ends before ${into.length} bytes are read`);
  }

  /** A dump is not written to while it is read: there is nothing to ask. */
  check(): void {}

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#fd);
  }
}

function atPath<T>(path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw openError(path, error);
  }
}
