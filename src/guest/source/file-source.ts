/** A dump, or the end of a trace, as a guest that is paused for good. */
import type { Snapshot } from '../../driver/snapshot.ts';
import { openDump } from '../../drivers/dump/index.ts';
import { isTraceFile, openTraceSnapshot } from '../../drivers/trace/index.ts';
import type { AddressSpaceRequest } from '../../snapshot/index.ts';
import { type Capabilities, capabilitiesOf, requireCapability } from '../capabilities.ts';
import { Moment } from '../moment.ts';
import type { GuestSource, Watching } from './guest-source.ts';

export class FileSource implements GuestSource {
  readonly name: string;
  readonly capabilities: Capabilities;
  readonly #snapshot: Snapshot;
  readonly #moment: Moment;

  private constructor(path: string, snapshot: Snapshot, moment: Moment) {
    this.name = path;
    this.#snapshot = snapshot;
    this.#moment = moment;
    const why = `${path} is a file: attach to a live VM, as { qmp, gdb } or by its name`;
    this.capabilities = capabilitiesOf({ exact: why, sampled: why, snapshot: undefined, write: why, breakpoints: why });
  }

  /** @throws PtmonError as `openDump`, `openTraceSnapshot` and `findAddressSpace` */
  static async open(path: string, space: AddressSpaceRequest = {}, signal?: AbortSignal): Promise<FileSource> {
    const snapshot = isTraceFile(path) ? openTraceSnapshot(path) : await openDump(path, signal ? { signal } : {});
    try {
      return new FileSource(path, snapshot, await Moment.of(snapshot, signal, space));
    } catch (error) {
      await snapshot.close();
      throw error;
    }
  }

  paused<T>(work: (moment: Moment) => Promise<T>): Promise<T> {
    return work(this.#moment);
  }

  async watching<T>(_work: (watching: Watching) => Promise<T>): Promise<T> {
    requireCapability(this.capabilities, 'sampled', `watching ${this.name}`);
    throw new Error('unreachable: a file cannot be watched');
  }

  releaseIfIdle(): void {}

  close(): Promise<void> {
    return this.#snapshot.close();
  }
}
