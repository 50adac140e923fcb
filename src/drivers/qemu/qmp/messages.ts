/** The messages of QMP, QEMU's machine protocol: qemu.org, "QEMU Machine Protocol Specification". */

/** The first message of a server: what it is and can do. */
export interface QmpGreeting {
  /** QEMU's version: `[7, 2, 22]`. */
  readonly version: readonly number[];
  /** What the distributor calls the build; empty where it does not. */
  readonly package: string;
  /** What may be enabled, such as `oob`. */
  readonly capabilities: readonly string[];
}

/** Something that happened in QEMU, unasked. */
export interface QmpEvent {
  /** `STOP`, `RESUME`, `SHUTDOWN`, `RESET`, … */
  readonly name: string;
  readonly data: QmpObject;
  /** Milliseconds since 1970 by the clock of QEMU's host; -1 where QEMU could not tell. */
  readonly timeMs: number;
}

/** Why a command was refused. */
export interface QmpRefusal {
  /** `GenericError`, `CommandNotFound`, `DeviceNotFound`, … */
  readonly class: string;
  /** Human-readable. */
  readonly desc: string;
}

export type QmpObject = Readonly<Record<string, unknown>>;

export type QmpMessage =
  | { readonly kind: 'greeting'; readonly greeting: QmpGreeting }
  | { readonly kind: 'return'; readonly id: unknown; readonly value: unknown }
  | { readonly kind: 'refusal'; readonly id: unknown; readonly refusal: QmpRefusal }
  | { readonly kind: 'event'; readonly event: QmpEvent }
  /** JSON that is none of the above: from a QEMU newer than this. */
  | { readonly kind: 'unknown'; readonly value: QmpObject }
  /** Bytes that are not QMP, and the beginning of them. */
  | { readonly kind: 'violation'; readonly reason: string; readonly sample: string };

/** Which message a line of JSON is. Never throws, whatever the value. */
export function classify(value: QmpObject): QmpMessage {
  if ('QMP' in value) return { kind: 'greeting', greeting: greetingOf(object(value['QMP'])) };
  if ('event' in value) return { kind: 'event', event: eventOf(value) };
  if ('error' in value) {
    const refusal = object(value['error']);
    return {
      kind: 'refusal',
      id: value['id'],
      refusal: { class: text(refusal['class'], 'GenericError'), desc: text(refusal['desc'], 'no reason given') },
    };
  }
  if ('return' in value) return { kind: 'return', id: value['id'], value: value['return'] };
  return { kind: 'unknown', value };
}

/** Whether a value is a JSON object: not null, not an array. */
export function isObject(value: unknown): value is QmpObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function greetingOf(qmp: QmpObject): QmpGreeting {
  const version = object(qmp['version']);
  const numbers = object(version['qemu']);
  const capabilities = qmp['capabilities'];
  return {
    version: [numbers['major'], numbers['minor'], numbers['micro']].map((number) => Number(number ?? 0)),
    package: text(version['package'], ''),
    capabilities: Array.isArray(capabilities) ? capabilities.filter((name) => typeof name === 'string') : [],
  };
}

function eventOf(value: QmpObject): QmpEvent {
  const timestamp = object(value['timestamp']);
  const seconds = Number(timestamp['seconds'] ?? -1);
  const microseconds = Number(timestamp['microseconds'] ?? -1);
  return {
    name: text(value['event'], ''),
    data: object(value['data']),
    timeMs: seconds < 0 ? -1 : seconds * 1000 + Math.max(0, microseconds) / 1000,
  };
}

function object(value: unknown): QmpObject {
  return isObject(value) ? value : {};
}

function text(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise;
}
