/** Groups the events that one action of the simulated guest has caused. */
import type { MonitorEvent } from '../../../core/monitor/events.ts';
import type { Guest, GuestAction, GuestActionName } from '../../../testing/index.ts';

/** The events of one action of one vCPU. */
export interface EventGroup {
  readonly action: GuestAction | undefined;
  /** Events of one kind, tag and root each, in the order of the first of them. */
  readonly alike: readonly (readonly MonitorEvent[])[];
}

interface OpenGroup {
  readonly action: GuestAction | undefined;
  readonly alike: Map<string, MonitorEvent[]>;
}

export class EventGroups {
  readonly #guest: Guest;
  readonly #open = new Map<number | null, OpenGroup>();
  /** The latest action, of any vCPU, that removes roots. */
  #ending: GuestAction | undefined;

  constructor(guest: Guest) {
    this.#guest = guest;
    guest.observe({
      action: (action) => {
        if (ENDS_SPACE.has(action.action)) this.#ending = action;
      },
    });
  }

  /** What the guest was doing when it caused this event. */
  actionOf({ vcpu }: MonitorEvent): GuestAction | undefined {
    return vcpu === null ? this.#ending : this.#guest.actionOn(vcpu);
  }

  /** Adds an event. Returns the groups that are complete: their vCPUs do something else now. */
  add(event: MonitorEvent): EventGroup[] {
    const complete: EventGroup[] = [];
    for (const [vcpu, group] of this.#open) {
      const done = vcpu === null ? event.vcpu !== null : !isSame(this.#guest.actionOn(vcpu), group.action);
      if (done) complete.push(this.#close(vcpu, group));
    }
    const action = this.actionOf(event);
    const group = this.#open.get(event.vcpu) ?? { action, alike: new Map<string, MonitorEvent[]>() };
    this.#open.set(event.vcpu, group);
    // Every watched range of a root reports its end.
    const key = `${event.kind} ${event.root} ${event.kind === 'root-gone' ? '' : event.tags.join(' ')}`;
    const alike = group.alike.get(key);
    if (alike === undefined) group.alike.set(key, [event]);
    else alike.push(event);
    return complete;
  }

  /** Returns the groups that are still open. */
  end(): EventGroup[] {
    return [...this.#open].map(([vcpu, group]) => this.#close(vcpu, group));
  }

  #close(vcpu: number | null, { action, alike }: OpenGroup): EventGroup {
    this.#open.delete(vcpu);
    return { action, alike: [...alike.values()] };
  }
}

/** The causes of events that no write of a vCPU caused. */
const ENDS_SPACE: ReadonlySet<GuestActionName> = new Set<GuestActionName>(['exit', 'exec', 'reset']);

/** Several faults of one program in one step are one action to the reader. */
function isSame(a: GuestAction | undefined, b: GuestAction | undefined): boolean {
  return (
    a === b || (a !== undefined && b !== undefined && a.step === b.step && a.action === b.action && a.pid === b.pid)
  );
}
