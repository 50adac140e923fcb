/** Events that one thing the guest did has caused, gathered so that a hundred pages of an exit are a line an area. */
import { hex } from '../../../core/address/va.ts';
import type { MonitorEvent } from '../../../core/monitor/events.ts';
import type { Guest, GuestAction, GuestActionName } from '../../../testing/index.ts';
import { bytesText, entryName, rowOf } from '../../../sinks/event-row.ts';
import type { Row } from '../../../sinks/row-layout.ts';

const PAGE_BYTES = 4096;

/** What one vCPU did in one go. */
export interface EventGroup {
  readonly action: GuestAction | undefined;
  /** Events of one kind, of one tag, of one root, in the order of the first of them. */
  readonly alike: readonly (readonly MonitorEvent[])[];
}

interface OpenGroup {
  readonly action: GuestAction | undefined;
  readonly alike: Map<string, MonitorEvent[]>;
}

export class EventGroups {
  readonly #guest: Guest;
  readonly #open = new Map<number | null, OpenGroup>();
  /** The latest one, of any vCPU, that takes roots away. */
  #ending: GuestAction | undefined;

  constructor(guest: Guest) {
    this.#guest = guest;
    guest.observe({
      action: (action) => {
        if (ENDS_SPACE.has(action.action)) this.#ending = action;
      },
    });
  }

  /** What the guest was doing when this event came about. */
  actionOf({ vcpu }: MonitorEvent): GuestAction | undefined {
    return vcpu === null ? this.#ending : this.#guest.actionOn(vcpu);
  }

  /** Adds an event. Answers the groups that are complete: their vCPUs do something else now. */
  add(event: MonitorEvent): EventGroup[] {
    const complete: EventGroup[] = [];
    for (const [vcpu, group] of this.#open) {
      const done = vcpu === null ? event.vcpu !== null : !isSame(this.#guest.actionOn(vcpu), group.action);
      if (done) complete.push(this.#close(vcpu, group));
    }
    const action = this.actionOf(event);
    const group = this.#open.get(event.vcpu) ?? { action, alike: new Map<string, MonitorEvent[]>() };
    this.#open.set(event.vcpu, group);
    const key = `${event.kind} ${event.root} ${event.tags.join(' ')}`;
    const alike = group.alike.get(key);
    if (alike === undefined) group.alike.set(key, [event]);
    else alike.push(event);
    return complete;
  }

  /** Answers what is left. */
  end(): EventGroup[] {
    return [...this.#open].map(([vcpu, group]) => this.#close(vcpu, group));
  }

  #close(vcpu: number | null, { action, alike }: OpenGroup): EventGroup {
    this.#open.delete(vcpu);
    return { action, alike: [...alike.values()] };
  }
}

/** Behind what no vCPU's write has caused. */
const ENDS_SPACE: ReadonlySet<GuestActionName> = new Set<GuestActionName>(['exit', 'exec', 'reset']);

/** Several faults that one program takes in one go are one thing to whoever watches. */
function isSame(a: GuestAction | undefined, b: GuestAction | undefined): boolean {
  return (
    a === b || (a !== undefined && b !== undefined && a.step === b.step && a.action === b.action && a.pid === b.pid)
  );
}

/** Pages that an event speaks for. */
export function pagesOf(event: MonitorEvent): number {
  return 'pages' in event ? event.pages : 1;
}

/** One line for events that are alike: the first one's, or its addresses and the sum. */
export function rowOfAlike(events: readonly MonitorEvent[], wide: boolean): Row {
  const first = events[0]!;
  const row = rowOf(first, wide);
  if (events.length === 1) return row;
  const pages = events.reduce((sum, event) => sum + pagesOf(event), 0);
  const small = events.every((event) => !('pageSize' in event) || event.pageSize === PAGE_BYTES);
  const size = small ? `${pages}×4K` : bytesText(pages * PAGE_BYTES);
  return { ...row, va: `${hex(first.va)}…`, size, why: whyOfAlike(events, wide) ?? row.why };
}

/** `9 PTEs → 0x0`; undefined where one entry is behind all of them. */
function whyOfAlike(events: readonly MonitorEvent[], wide: boolean): string | undefined {
  const entries = new Set(events.map(({ cause }) => cause?.entryPa));
  const { cause, vcpu } = events[0]!;
  if (entries.size === 1 || cause === null) return undefined;
  return `${entries.size} ${entryName(cause.level)}s ${fate(events)}${wide && vcpu !== null ? ` cpu${vcpu}` : ''}`;
}

function fate(events: readonly MonitorEvent[]): string {
  const [before, after] = [
    commonWord(events.map(({ cause }) => cause?.oldMeaning)),
    commonWord(events.map(({ cause }) => cause?.newMeaning)),
  ];
  if (after !== undefined) return `${before ?? ''} → ${after}`.trimStart();
  if (before !== undefined) return `← ${before}`;
  if (events.every(({ cause }) => cause?.newValue === 0n)) return '→ 0x0';
  return events.every(({ cause }) => cause?.oldValue === 0n) ? 'set' : 'changed';
}

/** `swap` of `swap 0:4711` and its like; undefined where not all begin so. */
function commonWord(meanings: readonly (string | undefined)[]): string | undefined {
  const words = new Set(meanings.map((meaning) => meaning?.split(' ')[0]));
  return words.size === 1 ? [...words][0] : undefined;
}
