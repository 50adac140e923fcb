import { describe, expect, test } from 'vitest';
import { EventGroups, rowOfAlike } from '../../../src/cli/commands/demo/event-groups.ts';
import type { Pa } from '../../../src/core/address/types.ts';
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

describe('one line for events that are alike', () => {
  const entry = (n: number, oldValue: bigint, newValue: bigint): MonitorEvent => ({
    ...pageIn,
    va: BigInt(n) * 0x1000n,
    cause: { entryPa: (n * 8) as Pa, level: 1, oldValue, newValue },
  });

  /** With what one of the values means. */
  const swapped = (n: number, which: 'old' | 'new'): MonitorEvent => {
    const event = entry(n, which === 'old' ? 0x202n : 0x1067n, which === 'old' ? 0x1067n : 0x202n);
    return { ...event, cause: { ...event.cause!, [`${which}Meaning`]: `swap 0:${n}` } };
  };

  test('a single one is told in full', () => {
    expect(rowOfAlike([pageIn], false)).toMatchObject({ va: '0x7f1234567abc', size: '4K', why: 'PTE 0x0 → …067' });
  });

  test.each([
    ['set', [entry(1, 0n, 0x1067n), entry(5, 0n, 0x2067n)], '2 PTEs set'],
    ['cleared', [entry(1, 0x1067n, 0n), entry(5, 0x2067n, 0n)], '2 PTEs → 0x0'],
    ['both', [entry(1, 0x1067n, 0n), entry(5, 0n, 0x2067n)], '2 PTEs changed'],
    ['back from swap', [swapped(1, 'old'), swapped(5, 'old')], '2 PTEs ← swap'],
    ['out to swap', [swapped(1, 'new'), swapped(5, 'new')], '2 PTEs → swap'],
    ['some of them', [swapped(1, 'old'), entry(5, 1n, 0x2067n)], '2 PTEs changed'],
    ['one entry behind both', [entry(1, 0n, 0x1067n), { ...entry(1, 0n, 0x1067n), va: 0x9000n }], 'PTE 0x0 → …067'],
  ] as const)('%s', (_, events, why) => {
    expect(rowOfAlike(events, false)).toMatchObject({ va: '0x1000…', size: '2×4K', why });
  });

  test('large pages are told in bytes', () => {
    const large = { ...pageIn, pageSize: 2 ** 21, pages: 512 };
    expect(rowOfAlike([large, { ...large, va: 0n }, pageIn], false).size).toBe('4100K');
  });

  test('where there is room, the vCPU is named', () => {
    expect(rowOfAlike([entry(1, 0n, 1n), entry(2, 0n, 1n)], true).why).toBe('2 PTEs set cpu1');
  });
});
