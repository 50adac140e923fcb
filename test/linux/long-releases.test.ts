/** C8: releasing the memory of a process, however large, gives way to signals and timers. */
import { expect, test } from 'vitest';
import { openLinux, ProcessWatch } from '../../src/linux/index.ts';
import type { WatchingSession } from '../../src/linux/watch/watched-space.ts';
import { CallThatWaits } from '../driver/call-that-waits.ts';
import { MadeKernel } from './made-kernel.ts';

const AREAS = [{ start: 0x10_0000n, end: 0x10_4000n }];
const DRIVER = { name: 'made', close: async () => {}, run: async function* () {} };

async function watched() {
  const made = new MadeKernel();
  const process = made.makeProcess({ pid: 7, comm: 'wanted', areas: AREAS });
  const released: bigint[] = [];
  const session: WatchingSession = {
    monitor: {
      unmonitorRangeInSteps: ({ va }) => {
        released.push(va);
        return new CallThatWaits();
      },
    },
    watch: async () => {},
  };
  const linux = await openLinux({ ...DRIVER, ...made.source() });
  const watch = new ProcessWatch({ linux, selection: { by: { command: 'wanted' } }, isExact: false, vcpuCount: 1 });
  await watch.begin(session);
  return { made, process, watch, released };
}

test('the end of the watch', async () => {
  const { watch, released } = await watched();
  await watch.end();
  expect(released).toEqual([0n]);
  expect(watch.watched).toEqual([]);
});

test('a process that takes another name', async () => {
  const { made, process, watch, released } = await watched();
  made.text(process.task + made.at('task_struct.comm'), 'other');
  await watch.update([]);
  expect(released).toEqual([0n]);
  expect(watch.watched).toEqual([]);
});
