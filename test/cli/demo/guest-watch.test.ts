import { describe, expect, test } from 'vitest';
import { GuestWatch, tagOf } from '../../../src/cli/commands/demo/guest-watch.ts';
import type { PageTableMonitor } from '../../../src/core/monitor/page-table-monitor.ts';
import { createSimDriver, type Guest, type SimOptions } from '../../../src/testing/index.ts';
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

/** The same of what is watched, each page as often as it is referenced. Roots that are being taken down are left out. */
function pagesOfMonitor(monitor: PageTableMonitor, { processes }: Guest): string[] {
  const pages: string[] = [];
  const roots = new Set<number>(processes.flatMap((process) => process.roots));
  for (const { root, va, byteLength, tags, references } of monitor.dump().ranges) {
    if (!roots.has(root)) continue;
    for (let offset = 0n; offset < byteLength; offset += 4096n) {
      for (let n = 0; n < references; n++) pages.push(`${root} ${va + offset} ${tags.join(' ')}`);
    }
  }
  return pages.sort();
}

const NONE = { onlyLeft: [], onlyRight: [] };

/** What only one of two sorted lists has, a few of each. */
function difference(left: readonly string[], right: readonly string[]): { onlyLeft: string[]; onlyRight: string[] } {
  const onlyLeft: string[] = [];
  const onlyRight: string[] = [];
  for (let l = 0, r = 0; l < left.length || r < right.length; ) {
    const order =
      l === left.length ? 1 : r === right.length ? -1 : left[l]! < right[r]! ? -1 : left[l]! > right[r]! ? 1 : 0;
    if (order < 0) onlyLeft.push(left[l]!);
    if (order > 0) onlyRight.push(right[r]!);
    if (order <= 0) l++;
    if (order >= 0) r++;
  }
  return { onlyLeft: onlyLeft.slice(0, 5), onlyRight: onlyRight.slice(0, 5) };
}

async function compareThroughout(options: SimOptions, after: number): Promise<number> {
  const driver = createSimDriver({ seed: 9, steps: 400, ...options });
  let batches = 0;
  let compared = 0;
  const session = await openSession({
    driver,
    onBatch: () => {
      watch.update();
      // Comparing all the time takes too long; and what has left the areas is released when the vCPU does something else.
      if (watch.attachment === undefined || ++batches % 20 > 0) return;
      if (['exec', 'exit', 'mprotect', 'mremap', 'munmap', 'reset'].includes(driver.guest.actionOn(0)?.action ?? ''))
        return;
      if (driver.guest.processes.some(({ busy }) => busy)) return;
      const { guest } = driver;
      expect(difference(pagesOfMonitor(session.monitor, guest), pagesOfGuest(guest))).toEqual(NONE);
      compared++;
    },
  });
  const watch = new GuestWatch(driver.guest, session.monitor, after);
  await session.run();
  return compared;
}

describe('what is watched is what the processes have', { timeout: 60_000 }, () => {
  test.each([
    ['from the boot on', {}, 0],
    ['attached later', {}, 100],
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
