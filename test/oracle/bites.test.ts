/** The oracle must be able to fail: monitors with one thing wrong are found out within a few programs. */
import { describe, expect, test } from 'vitest';
import type { MonitorOptions } from '../../src/core/monitor/api.ts';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { PageTableMonitor } from '../../src/core/monitor/page-table-monitor.ts';
import { generate } from './generate.ts';
import { failureOf, MODES, type ProofName } from './prove.ts';
import { programSeed } from './random.ts';
import type { MakeSubject, Subject } from './subject.ts';

const PROGRAMS = 300;

/** The engine, with some of its calls replaced. */
function broken(change: (engine: PageTableMonitor, options: MonitorOptions) => Partial<Subject>): MakeSubject {
  return (options) => {
    const engine = new PageTableMonitor(options);
    const changed = change(engine, options) as Record<PropertyKey, unknown>;
    return new Proxy(engine, {
      get(target, name) {
        const own = changed[name] ?? target[name as keyof PageTableMonitor];
        return typeof own === 'function' ? own.bind(target) : own;
      },
    });
  };
}

const events = (alter: (events: MonitorEvent[]) => MonitorEvent[]): MakeSubject =>
  broken((engine) => ({
    processDirtyEntries: (vcpu) => alter(engine.processDirtyEntries(vcpu)),
    resync: (view) => alter(engine.resync(view)),
  }));

const source = (alter: (options: MonitorOptions) => MonitorOptions): MakeSubject => {
  return (options) => new PageTableMonitor(alter(options));
};

const BROKEN: readonly (readonly [title: string, make: MakeSubject, rule: RegExp, proof?: ProofName])[] = [
  ['loses the last event of a batch', events((all) => all.slice(0, -1)), /^(C1|E)/],
  ['says an event twice', events((all) => [...all, ...all.slice(-1)]), /^E/],
  ['says page-in before page-out', events((all) => all.toReversed()), /^E3/],
  [
    'forgets the offset of the page',
    events((all) =>
      all.map((event) => ('pa' in event ? { ...event, pa: (event.pa - (event.pa % 4096)) as never } : event)),
    ),
    /^E/,
  ],
  ['names the wrong vCPU', events((all) => all.map((event) => ({ ...event, vcpu: 7 }))), /^E5/],
  [
    'names the wrong level',
    events((all) =>
      all.map((event) => ({ ...event, cause: event.cause && { ...event.cause, level: (event.cause.level % 4) + 1 } })),
    ),
    /^E5/,
  ],
  [
    'swaps old and new value',
    events((all) =>
      all.map((event) => ({
        ...event,
        cause: event.cause && { ...event.cause, oldValue: event.cause.newValue, newValue: event.cause.oldValue },
      })),
    ),
    /^E5/,
  ],
  ['drops tags', events((all) => all.map((event) => ({ ...event, tags: event.tags.slice(1) }))), /^E5/],
  [
    'does not look at the last byte of a write',
    broken((engine) => ({
      markDirty: (pa, byteLength, view, vcpu) => engine.markDirty(pa, Math.max(1, byteLength - 1), view, vcpu),
    })),
    /^(C|E)/,
  ],
  [
    'marks for whoever was first',
    broken((engine) => ({
      markDirty: (pa, byteLength, view) => engine.markDirty(pa, byteLength, view, 0),
      markDirtyEntry: (pa, view) => engine.markDirtyEntry(pa, view, 0),
    })),
    /^(C|E)/,
  ],
  [
    'calls every entry monitored',
    broken((engine) => ({ markDirtyEntry: (pa, view, vcpu) => engine.markDirtyEntry(pa, view, vcpu) || true })),
    /^C5/,
  ],
  [
    'drops every reference at once',
    broken((engine) => ({ unmonitor: (request) => engine.unmonitorByForce(request) })),
    /^(R|C|E)/,
  ],
  [
    'restores full access',
    source((options) => ({
      ...options,
      ...(options.protection && {
        protection: {
          getAccess: (view, gfn) => options.protection!.getAccess(view, gfn),
          setAccess: (view, gfn, access) => options.protection!.setAccess(view, gfn, access & 2 ? 7 : access),
        },
      }),
    })),
    /^C2/,
  ],
  [
    'never restores',
    source((options) => ({
      ...options,
      ...(options.protection && {
        protection: {
          getAccess: (view, gfn) => options.protection!.getAccess(view, gfn),
          setAccess: (view, gfn, access) => {
            if ((access & 2) === 0) options.protection!.setAccess(view, gfn, access);
          },
        },
      }),
    })),
    /^(C2|R3)/,
  ],
  [
    'ignores MAXPHYADDR',
    source((options) => ({ ...options, paging: { ...options.paging, physicalAddressBits: 52 } as never })),
    /^(C|E|T)/,
  ],
  [
    'is not told of rights',
    source((options) => ({ ...options, kinds: (options.kinds ?? []).filter((kind) => kind !== 'protection') })),
    /^E6/,
  ],
  [
    'swallows a failing source',
    broken((engine) => ({
      processDirtyEntries: (vcpu) => {
        try {
          return engine.processDirtyEntries(vcpu);
        } catch {
          return [];
        }
      },
    })),
    /^(C|E)/,
    'faults',
  ],
];

describe('P1 the oracle bites', () => {
  test.each(BROKEN)('a monitor that %s is found out', (_, make, rule, proof = 'once') => {
    for (let index = 0; index < PROGRAMS; index++) {
      const program = generate(programSeed(1, index), MODES[index % MODES.length]!);
      const failure = failureOf(program, proof, make);
      if (failure === undefined) continue;
      expect(failure.message).toMatch(rule);
      return;
    }
    throw new Error(`not found in ${PROGRAMS} programs`);
  });
});
