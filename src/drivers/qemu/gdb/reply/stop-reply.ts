/** Why a target stopped. GDB manual, "Stop Reply Packets". */
import { numberOfHex } from './hex.ts';
import { parseThreadId, type ThreadId } from './thread-id.ts';

export interface WatchHit {
  readonly access: 'write' | 'read' | 'access';
  /** Where the watchpoint is, zero-extended; not which of its bytes was accessed. */
  readonly va: bigint;
}

export type StopReply =
  | {
      readonly kind: 'stopped';
      /** GDB's number: 2 SIGINT (interrupted, paused), 3 SIGQUIT (the guest has shut down), 5 SIGTRAP, … */
      readonly signal: number;
      readonly thread: ThreadId | undefined;
      readonly watch: WatchHit | undefined;
    }
  /** The target is gone: QEMU has quit. */
  | { readonly kind: 'exited'; readonly status: number }
  | { readonly kind: 'killed'; readonly signal: number };

/** GDB's signal numbers that QEMU uses: gdb/signals.def. */
export const GDB_SIGNAL = { int: 2, quit: 3, trap: 5 } as const;

const WATCH_KINDS: Readonly<Record<string, WatchHit['access']>> = { watch: 'write', rwatch: 'read', awatch: 'access' };

/** Reads `T05thread:p01.01;watch:ffff…;`, `S05`, `W00`, `X09`; undefined where the payload is no stop reply. */
export function parseStopReply(payload: string): StopReply | undefined {
  const match = /^([TSWX])([0-9a-fA-F]{2})(.*)$/s.exec(payload);
  if (match === null) return undefined;
  const [, kind, digits = '', rest = ''] = match;
  const value = Number.parseInt(digits, 16);
  switch (kind) {
    case 'W':
      return { kind: 'exited', status: value };
    case 'X':
      return { kind: 'killed', signal: value };
    case 'S':
      return { kind: 'stopped', signal: value, thread: undefined, watch: undefined };
    default:
      return { kind: 'stopped', signal: value, ...pairsOf(rest) };
  }
}

/** Why a target stopped last. Stops in a row are often at one watchpoint: the same text is read once. */
export class LastStop {
  #stop: StopReply;
  #text: string | undefined;

  constructor(stop: StopReply) {
    this.#stop = stop;
  }

  get stop(): StopReply {
    return this.#stop;
  }

  /** Returns whether the payload is a stop reply. One of no thread is of that which stopped before: QEMU speaks of it until another stops. */
  note(payload: string): boolean {
    if (payload === this.#text) return true;
    const stop = parseStopReply(payload);
    if (stop === undefined) return false;
    const before = this.#stop.kind === 'stopped' ? this.#stop.thread : undefined;
    this.#stop = stop.kind === 'stopped' ? { ...stop, thread: stop.thread ?? before } : stop;
    this.#text = payload;
    return true;
  }
}

/** Keys that are not known are passed over, as the manual demands. */
function pairsOf(text: string): { thread: ThreadId | undefined; watch: WatchHit | undefined } {
  let thread: ThreadId | undefined;
  let watch: WatchHit | undefined;
  for (const pair of text.split(';')) {
    const colon = pair.indexOf(':');
    if (colon < 0) continue;
    const key = pair.slice(0, colon);
    const value = pair.slice(colon + 1);
    if (key === 'thread') thread = parseThreadId(value);
    const access = Object.hasOwn(WATCH_KINDS, key) ? WATCH_KINDS[key] : undefined;
    const va = access === undefined ? undefined : numberOfHex(value);
    if (access !== undefined && va !== undefined) watch = { access, va };
  }
  return { thread, watch };
}
