/** C8: a replay gives way to signals and timers while it makes a recorded call that takes long, and between many short ones. */
import { expect, test } from 'vitest';
import type { WatchTarget } from '../../../src/driver/watch-calls.ts';
import { openTrace, recordTrace } from '../../../src/drivers/trace/index.ts';
import { openSession, type Session } from '../../../src/session/index.ts';
import { CallThatWaits } from '../../driver/call-that-waits.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { ToyGuest } from './toy-guest.ts';

const file = temporaryFolder();

async function recorded(name: string, watch: (session: Session) => void) {
  const path = file(name);
  const session = await openSession({
    driver: new ToyGuest((guest) => guest.write(1, 9)),
    recorder: recordTrace(path),
    paging: { mode: '4-level' },
  });
  watch(session);
  await session.run();
  return openTrace(path);
}

/** Counts the calls that were made, and answers each with `call`. */
function target(call: () => CallThatWaits, onMonitor = () => {}): WatchTarget & { made: string[] } {
  const made: string[] = [];
  const inSteps = (name: string) => () => {
    made.push(name);
    return call();
  };
  const atOnce = (name: string) => () => {
    made.push(name);
    onMonitor();
    return true;
  };
  return {
    made,
    monitor: atOnce('monitor'),
    monitorRangeInSteps: inSteps('monitorRange'),
    unmonitor: atOnce('unmonitor'),
    unmonitorRangeInSteps: inSteps('unmonitorRange'),
    unmonitorByForce: atOnce('unmonitorByForce'),
    unmonitorViewInSteps: inSteps('unmonitorView'),
    unmonitorAllInSteps: inSteps('unmonitorAll'),
    rootGoneInSteps: inSteps('rootGone'),
    resyncInSteps: inSteps('resync'),
  };
}

const RANGE = { root: 0x1000, va: 0n, byteLength: 0x4000n };

function everyCall({ monitor }: Session): void {
  monitor.monitorRange(RANGE);
  monitor.unmonitorRange({ ...RANGE, byteLength: 0x1000n });
  monitor.monitor({ root: 0x1000, va: 0x1000n });
  monitor.resync();
  monitor.rootGone(0x1000);
  monitor.unmonitorView(0);
  monitor.unmonitorAll();
}

test('each recorded call that may take long is made in steps, and in order', async () => {
  const { driver, script } = await recorded('order.trace', everyCall);
  const calls = target(() => new CallThatWaits());
  await script.perform(calls, null);
  const order = 'monitorRange unmonitorRange monitor resync rootGone unmonitorView unmonitorAll';
  expect(calls.made).toEqual(order.split(' '));
  await driver.close();
});

test('an abort takes the call back that is being made, and no other is made', async () => {
  const { driver, script } = await recorded('abort.trace', everyCall);
  const abort = new AbortController();
  const reason = new Error('enough');
  const calls = target(() => {
    setImmediate(() => abort.abort(reason));
    return new CallThatWaits();
  });
  await expect(script.perform(calls, null, abort.signal)).rejects.toBe(reason);
  expect(calls.made).toEqual(['monitorRange']);
  await driver.close();
});

test('a replay that is aborted before its first calls are made ends as stopped', async () => {
  const trace = await recorded('stopped.trace', everyCall);
  const abort = new AbortController();
  const { perform } = trace.script;
  const script = Object.create(trace.script, {
    perform: {
      value: async (...[, after, signal]: Parameters<typeof perform>) => {
        setImmediate(() => abort.abort());
        return perform(
          target(() => new CallThatWaits()),
          after,
          signal,
        );
      },
    },
  }) as typeof trace.script;
  const session = await openSession({ driver: trace.driver, script, signal: abort.signal });
  expect(await session.run()).toMatchObject({ ended: 'stopped' });
});

test('many short calls give way as well', async () => {
  const { driver, script } = await recorded('short.trace', ({ monitor }) => {
    for (let times = 0; times < 100; times++) monitor.monitor({ root: 0x1000, va: 0n });
  });
  let hadTurn = false;
  setImmediate(() => (hadTurn = true));
  const deadline = () => {
    // Each call takes a millisecond of work: all of them are longer than any turn.
    for (const end = performance.now() + 1; performance.now() < end; );
  };
  const calls = target(() => new CallThatWaits(), deadline);
  const done = script.perform(calls, null);
  expect(done).toBeInstanceOf(Promise);
  await done;
  expect({ calls: calls.made.length, hadTurn }).toEqual({ calls: 100, hadTurn: true });
  await driver.close();
});
