/** The oracle must be able to fail: monitors with one thing wrong are found out within a few programs. */
import { describe, expect, test } from 'vitest';
import type { MonitorOptions } from '../../src/core/monitor/api.ts';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { PageTableMonitor } from '../../src/core/monitor/page-table-monitor.ts';
import { generate } from './generate.ts';
import { failureOf, MODES, type ProofName } from './prove.ts';
import { programSeed } from './random.ts';
import type { MakeSubject, Subject } from './subject.ts';

const PROGRAMS = 400;

interface Broken {
  readonly make: MakeSubject;
  /** The rules under which it may come out. */
  readonly rule: RegExp;
  readonly proof?: ProofName;
}

/** The engine, with some of its calls replaced. */
function calls(change: (engine: PageTableMonitor) => Partial<Subject>): MakeSubject {
  return (options) => {
    const engine = new PageTableMonitor(options);
    const changed = change(engine) as Record<PropertyKey, unknown>;
    return new Proxy(engine, {
      get(target, name) {
        const member = changed[name] ?? target[name as keyof PageTableMonitor];
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
  };
}

/** The engine, saying something else. */
function events(alter: (events: MonitorEvent[]) => MonitorEvent[]): MakeSubject {
  return calls((engine) => ({
    processDirtyEntries: (vcpu) => alter(engine.processDirtyEntries(vcpu)),
    resync: (view) => alter(engine.resync(view)),
  }));
}

const each = (alter: (event: MonitorEvent) => MonitorEvent): MakeSubject => events((all) => all.map(alter));

/** The engine, restoring something else. */
function restoring(restore: (access: number) => number | undefined): MakeSubject {
  return ({ protection, ...options }) => {
    if (protection === undefined) return new PageTableMonitor(options);
    const setAccess = (view: number, gfn: number, access: number) => {
      const its = (access & 2) === 0 ? access : restore(access);
      if (its !== undefined) protection.setAccess(view, gfn, its);
    };
    const getAccess = (view: number, gfn: number) => protection.getAccess(view, gfn);
    return new PageTableMonitor({ ...options, protection: { getAccess, setAccess } });
  };
}

/** The engine, deaf to what its source reports while it is protecting a table. */
const deaf: MakeSubject = ({ protection, ...options }) => {
  if (protection === undefined) return new PageTableMonitor(options);
  let isProtecting = false;
  const setAccess = (view: number, gfn: number, access: number) => {
    isProtecting = true;
    protection.setAccess(view, gfn, access);
    isProtecting = false;
  };
  const getAccess = (view: number, gfn: number) => protection.getAccess(view, gfn);
  const engine = new PageTableMonitor({ ...options, protection: { getAccess, setAccess } });
  const mark = engine.markDirtyEntry.bind(engine);
  engine.markDirtyEntry = (pa, view, vcpu) => !isProtecting && mark(pa, view, vcpu);
  return engine;
};

const options = (alter: (options: MonitorOptions) => MonitorOptions): MakeSubject => {
  return (given) => new PageTableMonitor(alter(given));
};

const BROKEN: Readonly<Record<string, Broken>> = {
  'loses the last event of a batch': { make: events((all) => all.slice(0, -1)), rule: /^(C1|E)/ },
  'says an event twice': { make: events((all) => [...all, ...all.slice(-1)]), rule: /^E/ },
  'says page-in before page-out': { make: events((all) => all.toReversed()), rule: /^E3/ },
  'forgets the offset within the page': {
    make: each((event) =>
      'pa' in event ? { ...event, pa: (event.pa - (event.pa % 4096)) as typeof event.pa } : event,
    ),
    rule: /^E/,
  },
  'names the wrong vCPU': { make: each((event) => ({ ...event, vcpu: 7 })), rule: /^E5/ },
  'names the wrong level': {
    make: each((event) => ({ ...event, cause: event.cause && { ...event.cause, level: (event.cause.level % 4) + 1 } })),
    rule: /^E5/,
  },
  'swaps old and new value': {
    make: each(({ cause, ...event }) => ({
      ...event,
      cause: cause && { ...cause, oldValue: cause.newValue, newValue: cause.oldValue },
    })),
    rule: /^E5/,
  },
  'drops a tag': { make: each((event) => ({ ...event, tags: event.tags.slice(1) })), rule: /^E5/ },
  'misses the last byte of a write': {
    make: calls((engine) => ({
      markDirty: (pa, byteLength, view, vcpu) => engine.markDirty(pa, Math.max(1, byteLength - 1), view, vcpu),
    })),
    rule: /^[CER]/,
  },
  'marks everything for one vCPU': {
    make: calls((engine) => ({
      markDirty: (pa, byteLength, view) => engine.markDirty(pa, byteLength, view, 0),
      markDirtyEntry: (pa, view) => engine.markDirtyEntry(pa, view, 0),
    })),
    rule: /^[CER]/,
  },
  'calls every entry monitored': {
    make: calls((engine) => ({ markDirtyEntry: (pa, view, vcpu) => engine.markDirtyEntry(pa, view, vcpu) || true })),
    rule: /^C5/,
  },
  'releases every reference at once': {
    make: calls((engine) => ({ unmonitor: (request) => engine.unmonitorByForce(request) })),
    rule: /^[RCE]/,
  },
  'restores a wider access': { make: restoring(() => 7), rule: /^C[29]/ },
  'does not restore': { make: restoring(() => undefined), rule: /^(C2|R3)/ },
  'is deaf while it protects a table': { make: deaf, rule: /^[CER]/ },
  'ignores MAXPHYADDR': {
    make: options(({ paging, ...rest }) => ({
      ...rest,
      paging: { ...paging, physicalAddressBits: 52 } as typeof paging,
    })),
    rule: /^[CET]/,
  },
  'keeps changed rights to itself': {
    make: options(({ kinds = [], ...rest }) => ({ ...rest, kinds: kinds.filter((kind) => kind !== 'protection') })),
    rule: /^E6/,
  },
  'swallows the failure of its source': {
    make: calls((engine) => ({
      processDirtyEntries: (vcpu) => {
        try {
          return engine.processDirtyEntries(vcpu);
        } catch {
          return [];
        }
      },
    })),
    rule: /^[CER]/,
    proof: 'faults',
  },
};

describe('P1 the oracle bites', () => {
  test.each(Object.keys(BROKEN))('a monitor that %s is found out', (name) => {
    const { make, rule, proof = 'once' } = BROKEN[name]!;
    for (let index = 0; index < PROGRAMS; index++) {
      const program = generate(programSeed(1, index), MODES[index % MODES.length]!);
      const failure = failureOf(program, proof, { make });
      if (failure === undefined) continue;
      expect(failure.message).toMatch(rule);
      return;
    }
    throw new Error(`not found in ${PROGRAMS} programs`);
  });
});
