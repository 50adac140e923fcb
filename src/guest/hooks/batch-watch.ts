/** A handle on processes whose events come in batches, each while the guest is stopped at it: for callers that draw or count. */
import { PtmonError } from '../../core/error.ts';
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { ProcessEvent, ProcessSelection } from '../../linux/index.ts';
import { checkOptions } from '../check-options.ts';
import type { Moment } from '../moment.ts';
import { unlessAborted } from '../session/unless-aborted.ts';
import { checkHandler } from './handler.ts';
import { type HandleRequest, ProcessHandle } from './process-handle.ts';

export interface FollowRequest {
  /** Which processes: one by its PID, or all of a name. */
  readonly selection: ProcessSelection;
  /** Events of one stop. The guest stays stopped until the promise settles, and `moment` is valid as long. */
  readonly onEvents: (events: readonly ProcessEvent[], moment: Moment) => void | Promise<void>;
  /** Called once when no more events come: the process has ended, the handle was stopped, or the session failed. */
  readonly onEnd?: (failure: unknown) => void;
}

/** @throws PtmonError `bad-argument` */
export function checkFollow(request: FollowRequest): void {
  checkOptions('follow', request, { selection: 'object', onEvents: 'function', onEnd: 'function' });
  const { selection, onEvents } = request;
  checkHandler(onEvents);
  checkOptions('selection', selection, { by: 'object', map: 'object' });
  checkOptions('selection.by', selection.by, { pid: 'number', command: 'string', commands: 'array' });
  const given = Object.values(selection.by).filter((value) => value !== undefined);
  if (given.length !== 1) throw new PtmonError('bad-argument', 'selection.by: give one of pid, command and commands');
  const strange = given.flat().find((value) => typeof value !== 'string' && !Number.isSafeInteger(value));
  if (strange !== undefined) throw new PtmonError('bad-argument', `selection.by: ${String(strange)} names no process`);
  const { map } = selection;
  if (map === undefined) return;
  checkOptions('selection.map', map, { kind: 'string', name: 'string', va: 'any' });
  if ((map.kind === 'at' ? map.va : map.name) === undefined)
    throw new PtmonError('bad-argument', "selection.map: give { kind: 'named', name } or { kind: 'at', va }");
}

export class BatchWatch extends ProcessHandle {
  readonly #request: FollowRequest;

  private constructor(request: FollowRequest & HandleRequest) {
    super(request);
    this.#request = request;
  }

  /** Watches from now on. The guest must be stopped. @throws PtmonError `bad-argument` where there is no such process @internal */
  static async open(request: FollowRequest & HandleRequest): Promise<BatchWatch> {
    const handle = new BatchWatch(request);
    await handle.begin();
    return handle;
  }

  /** @internal */
  async take(events: readonly MonitorEvent[]): Promise<void> {
    if (events.length > 0) await this.#deliver(events as readonly ProcessEvent[]);
    if (this.hasEnded) await this.stop();
  }

  async #deliver(events: readonly ProcessEvent[]): Promise<void> {
    const { moment, released } = this.live;
    const work = Promise.resolve(this.#request.onEvents(events, moment));
    // It may release the guest, and wait for that.
    await unlessAborted(released, work).catch((error: unknown) => {
      if (!released.aborted) throw error;
    });
  }

  /** @internal */
  protected ended(failure: unknown): void {
    this.#request.onEnd?.(failure);
  }
}
