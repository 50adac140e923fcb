import { describe, expect, test } from 'vitest';
import { EventGroups } from '../../../src/cli/commands/demo/event-groups.ts';
import type { MonitorEvent } from '../../../src/core/monitor/events.ts';
import type { Guest, GuestAction } from '../../../src/testing/index.ts';
import { pageIn, rootGone } from '../../sinks/examples.ts';

/** A guest of which only what it is doing is known. */
class Doing {
  readonly #now = new Map<number, GuestAction>();
  readonly #observers: ((action: GuestAction) => void)[] = [];

  begin(vcpu: number, step: number, action: GuestAction['action']): void {
    const record = { step, vcpu, pid: 1, name: 'init', action };
    this.#now.set(vcpu, record);
    for (const observer of this.#observers) observer(record);
  }

  actionOn(vcpu: number): GuestAction | undefined {
    return this.#now.get(vcpu);
  }

  observe({ action }: { action?: (action: GuestAction) => void }): () => void {
    if (action) this.#observers.push(action);
    return () => {};
  }
}

function setting(): { guest: Doing; groups: EventGroups; say: (event: MonitorEvent) => string[] } {
  const guest = new Doing();
  const groups = new EventGroups(guest as unknown as Guest);
  return { guest, groups, say: (event) => shown(groups.add(event)) };
}

/** `fault: 2 heap, 1 stack` */
function shown(complete: ReturnType<EventGroups['end']>): string[] {
  return complete.map(
    ({ action, alike }) =>
      `${action?.action}: ${alike.map((events) => `${events.length} ${events[0]!.tags.join()}`).join(', ')}`,
  );
}

function on(vcpu: number, tag: string): MonitorEvent {
  return { ...pageIn, vcpu, tags: [tag] };
}

describe('events are gathered by what the guest was doing', () => {
  test('until the vCPU does something else', () => {
    const { groups, guest, say } = setting();
    guest.begin(0, 1, 'exit');
    expect([...say(on(0, 'heap')), ...say(on(0, 'stack')), ...say(on(0, 'heap'))]).toEqual([]);
    guest.begin(0, 2, 'cow');
    expect(say(on(0, 'heap'))).toEqual(['exit: 2 heap, 1 stack']);
    expect(shown(groups.end())).toEqual(['cow: 1 heap']);
    expect(groups.end()).toEqual([]);
  });

  test('each vCPU for itself', () => {
    const { groups, guest, say } = setting();
    guest.begin(0, 1, 'exit');
    guest.begin(1, 2, 'fork');
    expect([...say(on(0, 'a')), ...say(on(1, 'b')), ...say(on(0, 'a'))]).toEqual([]);
    guest.begin(1, 3, 'fault');
    expect(say(on(0, 'a'))).toEqual(['fork: 1 b']);
    expect(shown(groups.end())).toEqual(['exit: 3 a']);
  });

  test('faults of one piece of work are together, those of the next are not', () => {
    const { groups, guest, say } = setting();
    for (const step of [1, 1, 2]) {
      guest.begin(0, step, 'fault');
      expect(say(on(0, 'heap'))).toEqual(step === 1 ? [] : ['fault: 2 heap']);
    }
    expect(shown(groups.end())).toEqual(['fault: 1 heap']);
  });

  test('a root that is gone is put down to what takes roots away', () => {
    const { guest, say } = setting();
    guest.begin(0, 1, 'exit');
    guest.begin(1, 2, 'fault');
    expect(say({ ...rootGone, tags: ['heap'] })).toEqual([]);
    expect(say(on(1, 'stack'))).toEqual(['exit: 1 heap']);
  });
});
