import { expect, test } from 'vitest';
import { recordedKinds } from '../../../src/cli/trace/about-text.ts';
import type { MonitorEvent } from '../../../src/core/monitor/events.ts';
import type { Driver, SourceEvent } from '../../../src/driver/index.ts';
import { openTrace, recordTrace } from '../../../src/drivers/trace/index.ts';
import { openSession, type Session, type SessionOptions } from '../../../src/session/index.ts';
import { jsonlSink } from '../../../src/sinks/index.ts';
import { ScriptedDriver } from '../../session/scripted-driver.ts';
import { KeptText } from './sessions.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { ToyGuest as Guest } from './toy-guest.ts';

const file = temporaryFolder();
const path = file('same.trace');
const paging = { mode: '4-level' } as const;
const ROOT = 0x1000;
const MISSED: SourceEvent = { kind: 'missed', reason: 'x', lost: 0 };

type Label = (events: readonly MonitorEvent[]) => readonly MonitorEvent[];

/** A part of a session that only names events. */
function naming(label: Label): Partial<SessionOptions> {
  const system = {
    words: () => new Float64Array(),
    update: async () => [],
    label: async (events: readonly MonitorEvent[]) => label(events),
  };
  return { system };
}

/** Runs a session that is recorded, and a replay of it: the JSONL must be the same. Answers its lines. */
async function sameAgain(
  driver: Driver,
  watch: (session: Session) => void,
  options: Partial<SessionOptions> = {},
): Promise<string[]> {
  const [live, again] = [new KeptText(), new KeptText()];
  const session = await openSession({
    driver,
    recorder: recordTrace(path),
    paging,
    sinks: [jsonlSink(live)],
    ...options,
  });
  watch(session);
  await session.run();
  const trace = openTrace(path);
  const sinks = [jsonlSink(again)];
  await (await openSession({ ...trace, kinds: recordedKinds(trace.driver.about), sinks })).run();
  expect(again.text).toBe(live.text);
  return live.text.trimEnd().split('\n');
}

const kindsOf = (lines: readonly string[]) => lines.map((line) => JSON.parse(line).kind as string);
const eventsIn = (lines: readonly string[]) =>
  lines.map((line) => JSON.parse(line)).filter(({ seq }) => seq !== undefined);

const watchPage = ({ monitor }: Session): void => monitor.monitor({ root: ROOT, va: 0x1000 });

test('the header has the kinds in the order in which they were asked for', async () => {
  const kinds = ['root-gone', 'restructure', 'protection'] as const;
  const [header] = await sameAgain(new Guest((g) => g.write(1, 1)), watchPage, { kinds });
  expect(JSON.parse(header!).kinds).toEqual(kinds);
});

test('events that the system has nothing to say of are not said again either', async () => {
  const lines = await sameAgain(
    new Guest((g) => g.write(1, 1)),
    watchPage,
    naming(() => []),
  );
  expect(kindsOf(lines)).toEqual(['header', 'watch', 'end']);
});

test('an address within a page of a run keeps its own name', async () => {
  const map = (g: Guest): readonly SourceEvent[] => {
    for (let page = 0; page < 6; page++) g.set(page, 0x20 + page);
    return [MISSED];
  };
  const watch = ({ monitor }: Session): void => {
    monitor.monitorRange({ root: ROOT, va: 0, byteLength: 0x6000, runs: true, tag: 'range' });
    monitor.monitor({ root: ROOT, va: 0x1008, tag: 'address' });
  };
  const named = naming((events) => events.map((event) => ({ ...event, tags: ['sh[7]', ...event.tags] })));
  const lines = await sameAgain(new Guest(map), watch, named);
  expect(eventsIn(lines).map(({ va }) => va)).toEqual(['0x0', '0x1008']);
});

test('more names than a record holds', { timeout: 30_000 }, async () => {
  const tables = 40;
  const guest = new Guest((g) => {
    for (let table = 0; table < tables; table++)
      for (let slot = 0; slot < 512; slot++) g.memory.writeU64((16 + table) * 4096 + slot * 8, slot * 4096 + 7, table);
    return [MISSED];
  });
  for (let table = 0; table < tables; table++) {
    guest.memory.addPage(16 + table);
    guest.memory.writeU64(0x3000 + table * 8, (16 + table) * 4096 + 7, 0);
  }
  const watch = ({ monitor }: Session): void =>
    monitor.monitorRange({ root: ROOT, va: 0, byteLength: tables * 0x20_0000 });
  const tags = ['a process with a rather long name[1234]', '/usr/lib/x86_64-linux-gnu/libc.so.6'];
  const lines = await sameAgain(
    guest,
    watch,
    naming((events) => events.map((event) => ({ ...event, tags }))),
  );
  expect(eventsIn(lines)).toHaveLength(tables * 512);
});

test('a write as wide as memory is recorded at once', async () => {
  const guest = new ScriptedDriver([
    () => [
      guest.set(1, 9),
      { kind: 'write', vcpu: 0, view: 0, pa: 0, byteLength: 2 ** 50 },
      { kind: 'commit', vcpu: 0 },
    ],
  ]);
  expect(await sameAgain(guest, watchPage)).toHaveLength(4);
});

test('addresses that are released by force are not held against the trace', { timeout: 60_000 }, async () => {
  const steps = Array.from({ length: 100 }, () => (g: Guest) => g.write(1, 1));
  let toggle = (): void => {};
  const watch = ({ monitor }: Session): void => {
    toggle = () => {
      monitor.monitor({ root: ROOT, va: 0x3000 });
      monitor.unmonitorByForce({ root: ROOT, va: 0x3000 });
    };
  };
  const onBatch = (): void => {
    for (let call = 0; call < 1000; call++) toggle();
  };
  expect(eventsIn(await sameAgain(new Guest(...steps), watch, { onBatch }))).toEqual([]);
});
