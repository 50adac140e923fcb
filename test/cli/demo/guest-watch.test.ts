import { describe, expect, test } from 'vitest';
import { GuestWatch, tagOf } from '../../../src/cli/demo/guest-watch.ts';
import type { PageTableMonitor } from '../../../src/core/monitor/page-table-monitor.ts';
import { createSimDriver, type Guest, type SimOptions } from '../../../src/drivers/sim/index.ts';
import { openSession } from '../../../src/session/session.ts';

/** `root page tag` of each page of the processes' areas. */
function pagesOfGuest({ processes }: Guest): string[] {
  const pages: string[] = [];
  for (const process of processes) {
    for (const [index, root] of process.roots.entries()) {
      for (const area of process.areas) {
        for (let offset = 0n; offset < area.byteLength; offset += 4096n) {
          pages.push(`${root} ${area.va + offset} ${tagOf(process, area, index > 0)}`);
        }
      }
    }
  }
  return pages.sort();
}

/** The same of what is watched, each page as often as it is referenced. */
function pagesOfMonitor(monitor: PageTableMonitor): string[] {
  const pages: string[] = [];
  for (const { root, va, byteLength, tags, references } of monitor.dump().ranges) {
    for (let offset = 0n; offset < byteLength; offset += 4096n) {
      for (let n = 0; n < references; n++) pages.push(`${root} ${va + offset} ${tags.join(' ')}`);
    }
  }
  return pages.sort();
}

async function compareThroughout(options: SimOptions, after: number): Promise<number> {
  const driver = createSimDriver({ seed: 9, steps: 400, ...options });
  let batches = 0;
  let compared = 0;
  const session = await openSession({
    driver,
    onBatch: () => {
      watch.update();
      // With one vCPU, nobody is in the middle of anything where no process is busy; comparing all the time takes too long.
      if (watch.attachment === undefined || ++batches % 16 > 0 || driver.guest.processes.some(({ busy }) => busy)) return;
      expect(pagesOfMonitor(session.monitor)).toEqual(pagesOfGuest(driver.guest));
      compared++;
    },
  });
  const watch = new GuestWatch(driver.guest, session.monitor, after);
  await session.run();
  return compared;
}

describe('what is watched is what the processes have', () => {
  test.each([
    ['from the boot on', {}, 0],
    ['attached later', {}, 250],
    ['two roots a process', { isolation: true }, 100],
    ['machines that are reset', { resetEvery: 90 }, 0],
  ] as const)('%s', async (_, options, after) => {
    expect(await compareThroughout(options, after)).toBeGreaterThan(5);
  });
});

test('the watch begins when it is told to', async () => {
  const driver = createSimDriver({ seed: 9, steps: 120 });
  const session = await openSession({ driver, onBatch: () => watch.update() });
  const watch = new GuestWatch(driver.guest, session.monitor, 100);
  let step = 0;
  driver.guest.observe({
    action: (action) => {
      step = action.step;
      expect(watch.attachment !== undefined).toBe(step > 100);
    },
  });
  await session.run();
  expect(step).toBe(120);
  expect(watch.attachment?.processes).toBeGreaterThan(3);
  expect(watch.attachment?.pages).toBeGreaterThan(50);
});

test.each([
  ['[heap]', false, 'nginx[12]:heap'],
  ['[anon: far]', false, 'nginx[12]:anon:far'],
  ['/usr/bin/nginx', false, 'nginx[12]:exe'],
  ['/usr/lib/libc.so.6', false, 'nginx[12]:libc'],
  ['/dev/zero', true, 'nginx[12]:zero@user'],
])('area %s (of the user root: %s) is %s', (name, isUser, tag) => {
  const area = { name, va: 0n, byteLength: 4096 };
  expect(tagOf({ pid: 12, name: 'nginx', roots: [], busy: false, areas: [area] }, area, isUser)).toBe(tag);
});
