/** `guest.on('process', …)`: handlers that are called when processes begin, run another program, and end. */
import { PtmonError } from '../../core/error.ts';
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { SourceEvent } from '../../driver/driver.ts';
import { type ProcessLifeEvent, ProcessLives, type TaskBrief } from '../../linux/index.ts';
import type { EventLayer } from '../session/layers.ts';
import type { LiveSession } from '../session/live-session.ts';
import { callHandler, checkHandler, type HandlerOptions } from './handler.ts';

/** `process`: fork or clone has made one, with its parent's name. `exec`: one runs another program. `exit`: one has ended. */
export type ProcessEventName = 'process' | 'exec' | 'exit';

const NAMES = { begin: 'process', exec: 'exec', end: 'exit' } as const satisfies Record<
  ProcessLifeEvent['kind'],
  ProcessEventName
>;

export interface ProcessHookOptions extends HandlerOptions {
  readonly event: ProcessEventName;
  readonly handler: (process: TaskBrief) => Promise<void> | void;
}

/** @throws PtmonError `bad-argument` for a handler or an event that never comes */
export function checkHook(
  { event, handler }: { readonly event: unknown; readonly handler: unknown },
  options: HandlerOptions,
): void {
  const names: readonly unknown[] = Object.values(NAMES);
  if (!names.includes(event))
    throw new PtmonError('bad-argument', `there is no event ${String(event)}: only ${names.join(', ')}`);
  checkHandler(handler, options);
}

/** One handler. */
export class ProcessHook implements AsyncDisposable {
  readonly #hooks: ProcessHooks;
  readonly #options: ProcessHookOptions;

  /** @internal */
  constructor(hooks: ProcessHooks, options: ProcessHookOptions) {
    this.#hooks = hooks;
    this.#options = options;
  }

  get event(): ProcessEventName {
    return this.#options.event;
  }

  /** Removes it. Does nothing after the first time. */
  remove(): Promise<void> {
    return this.#hooks.remove(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.remove();
  }

  /** Never throws. @internal */
  call(process: TaskBrief, released: AbortSignal): Promise<void> {
    const { event, handler } = this.#options;
    return callHandler(`the handler of ${event}`, () => handler(process), { ...this.#options, released });
  }
}

/** All of a live guest. They share one look at the kernel's list of processes. */
export class ProcessHooks implements EventLayer {
  readonly #live: LiveSession;
  readonly #lives: ProcessLives;
  readonly #hooks = new Set<ProcessHook>();
  readonly #onEmpty: () => void;
  #isBegun = false;
  /** Of this stop. */
  #events: ProcessLifeEvent[] = [];

  /** @param onEmpty called when the last one is removed */
  constructor(live: LiveSession, onEmpty: () => void) {
    this.#live = live;
    this.#onEmpty = onEmpty;
    const { linux, isExact, vcpuCount } = live;
    this.#lives = new ProcessLives({ linux, isExact, vcpuCount });
  }

  /** The guest must be stopped. */
  async add(options: ProcessHookOptions): Promise<ProcessHook> {
    if (!this.#isBegun) await this.#lives.begin();
    this.#isBegun = true;
    const hook = new ProcessHook(this, options);
    this.#hooks.add(hook);
    this.#live.add(this);
    return hook;
  }

  async remove(hook: ProcessHook): Promise<void> {
    if (!this.#hooks.delete(hook) || this.#hooks.size > 0) return;
    this.#live.remove(this);
    this.#isBegun = false;
    this.#onEmpty();
  }

  get blindTo(): string | undefined {
    return this.#lives.blindTo;
  }

  words(): Float64Array {
    return this.#lives.words();
  }

  async update(batch: readonly SourceEvent[]): Promise<readonly SourceEvent[]> {
    for (const event of await this.#lives.update(batch)) this.#events.push(event);
    return [];
  }

  async label(): Promise<readonly MonitorEvent[]> {
    return [];
  }

  async take(): Promise<void> {
    const events = this.#events;
    this.#events = [];
    for (const { kind, process } of events) {
      // A handler may add and remove others.
      for (const hook of [...this.#hooks])
        if (hook.event === NAMES[kind] && this.#hooks.has(hook)) await hook.call(process, this.#live.released);
    }
  }
}
