import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LaunchOptions } from '../../src/drivers/qemu/launch/launch.ts';
import { differences } from './page-history.ts';
import { leftOut } from './real-guest.ts';
import { WatchedGuest, type WatchPlan } from './watched-guest.ts';

const MACHINES: readonly [name: string, options: LaunchOptions, expected: object][] = [
  ['4-level paging, one vCPU', { cpu: 'max,la57=off' }, { la57: false, pti: false, cpus: 1 }],
  ['4-level paging, two vCPUs', { cpu: 'max,la57=off', smp: 2 }, { la57: false, pti: false, cpus: 2 }],
  ['5-level paging, one vCPU', { cpu: 'max' }, { la57: true, pti: false, cpus: 1 }],
  ['5-level paging, two vCPUs', { cpu: 'max', smp: 2 }, { la57: true, pti: false, cpus: 2 }],
  ['page-table isolation, two vCPUs', { cpu: 'Skylake-Server', smp: 2 }, { la57: false, pti: true, cpus: 2 }],
];

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** Each test has a place of its own. */
let nextVa = 0x300000000000n;
function place(): bigint {
  nextVa += 0x40000000n;
  return nextVa;
}

describe.skipIf(leftOut('test/live/exact, exact watching of a real guest')).each(MACHINES)(
  'P3 a real guest with %s',
  { timeout: 120_000 },
  (_name, options, expected) => {
    let machine: WatchedGuest;
    beforeAll(async () => {
      machine = await WatchedGuest.boot(options);
    }, 150_000);
    afterAll(() => machine?.stop());

    /** Watches, and expects of the events just what the guest did. */
    async function expectExactly(plan: WatchPlan) {
      const outcome = await machine.watch(plan);
      expect(differences(outcome.events, outcome.reports, plan.ranges, machine.pid)).toEqual([]);
      expect(outcome.disagreements).toEqual([]);
      expect(outcome.statistics).toMatchObject({ lost: { known: 0 }, faults: 0 });
      // With several vCPUs nobody can be sure of what happens to a table in its first moments.
      if (machine.guest.workload.hello?.cpus === 1) expect(outcome.statistics.lost.unknown).toBe(false);
      return outcome;
    }

    test('is what it should be, with KASLR', () => {
      expect(machine.guest.workload.hello).toMatchObject({ ...expected, kaslr: true });
    });

    test('demand faults, changes of rights, and pages given back', async () => {
      const va = place();
      const at = hex(va);
      const { events } = await expectExactly({
        ranges: [{ va, pages: 16 }],
        commands: [
          `map 16 small at=${at}`,
          `read ${at} 2`,
          `touch ${at} 16`,
          `mprotect ${at} 4 none`,
          `mprotect ${at} 4 rw`,
          `mprotect ${at} 4 r`,
          `dontneed ${at} 8`,
          `touch ${hex(va + 0x5000n)}`,
          `unmap ${at} 16`,
        ],
      });
      expect(events.length).toBeGreaterThan(48);
    });

    test('a child that shares pages, and copies on write', async () => {
      const va = place();
      const at = hex(va);
      await expectExactly({
        ranges: [{ va, pages: 4 }],
        commands: [
          `map 4 small at=${at}`,
          `touch ${at} 4`,
          `fork ${at} 4`,
          `cow ${at} 2`,
          `child touch ${at} 4`,
          `touch ${at} 4`,
          'child exit',
          `unmap ${at} 4`,
        ],
      });
    });

    test('small pages that become a huge one, are split, and move', async () => {
      const [va, target] = [place(), place()];
      const at = hex(va);
      const { events } = await expectExactly({
        ranges: [
          { va, pages: 512 },
          { va: target, pages: 512 },
        ],
        commands: [
          `map 512 small at=${at}`,
          `touch ${at} 512`,
          `collapse ${at}`,
          `split ${hex(va + 0x5000n)}`,
          `mremap ${at} 512 to=${hex(target)}`,
          `unmap ${hex(target)} 512`,
        ],
      });
      expect(
        events.some(({ kind, ...event }) => kind === 'page-in' && 'pageSize' in event && event.pageSize > 4096),
      ).toBe(true);
    });

    // The kernel may keep pages that it was asked to swap out.
    test('pages that are swapped out and come back', { retry: 2 }, async ({ skip }) => {
      if (machine.guest.workload.hello?.swap !== true) skip('this kernel came without the modules for swap');
      const va = place();
      const at = hex(va);
      await expectExactly({
        ranges: [{ va, pages: 8 }],
        commands: [`map 8 small at=${at}`, `touch ${at} 8`, `swapout ${at} 8`, `read ${at} 8`, `unmap ${at} 8`],
      });
    });

    /** Two threads at full speed would change a new table before it can be watched: so the table is there already. */
    async function prepared(va: bigint, threads: number): Promise<void> {
      const beside = hex(va + BigInt(threads) * 0x10000n);
      for (const command of [`map 1 small at=${beside}`, `touch ${beside}`])
        await machine.guest.workload.command(command);
    }

    test('threads that change pages at full speed, and QEMU translates every page alike at every stop', async () => {
      const va = place();
      const threads = machine.guest.workload.hello?.cpus ?? 1;
      await prepared(va, threads);
      const { compared, events, statistics } = await expectExactly({
        ranges: Array.from({ length: threads }, (_, thread) => ({ va: va + BigInt(thread) * 0x10000n, pages: 16 })),
        commands: [`loop mix 60 pages=8 at=${hex(va)} stride=65536 threads=${threads} seed=3`],
        verify: true,
      });
      expect(compared).toBeGreaterThan(2000);
      console.log(
        `${compared} comparisons, ${events.length} events, ${statistics.foundByResync} of them found by comparing`,
      );
    });

    test('a thousand rounds at full speed', async () => {
      const va = place();
      const threads = machine.guest.workload.hello?.cpus ?? 1;
      await prepared(va, threads);
      const { events, stops, statistics } = await expectExactly({
        ranges: Array.from({ length: threads }, (_, thread) => ({ va: va + BigInt(thread) * 0x10000n, pages: 16 })),
        commands: [`loop mix ${1000 / threads} pages=8 at=${hex(va)} stride=65536 threads=${threads} seed=4`],
      });
      expect(events.length).toBeGreaterThan(2000);
      const share = (100 * statistics.foundByResync) / events.length;
      console.log(`${events.length} events, ${share.toFixed(2)} % of them found by comparing, ${stops.stops} stops`);
    });

    test('a thousand rounds whose stops are handled in the turn in which they are read', async () => {
      const va = place();
      const threads = machine.guest.workload.hello?.cpus ?? 1;
      await prepared(va, threads);
      const { events, stops } = await expectExactly({
        ranges: Array.from({ length: threads }, (_, thread) => ({ va: va + BigInt(thread) * 0x10000n, pages: 16 })),
        commands: [`loop mix ${1000 / threads} pages=8 at=${hex(va)} stride=65536 threads=${threads} seed=5`],
        atOnce: true,
      });
      expect(events.length).toBeGreaterThan(2000);
      console.log(`${events.length} events, ${stops.stops} stops`);
    });

    test('a process that exits takes its pages with it, and the next one is not mistaken for it', async () => {
      const va = place();
      const at = hex(va);
      const isEmpty = (held: Set<bigint>) => held.size === 0;
      const { events } = await machine.watch({
        ranges: [{ va, pages: 4 }],
        commands: [`map 4 small at=${at}`, `touch ${at} 4`, 'exit'],
        until: (all) => {
          const held = new Set<bigint>();
          for (const { kind, va: page } of all) {
            if (kind === 'page-in') held.add(page);
            else held.delete(page);
          }
          return all.length > 0 && isEmpty(held);
        },
      });
      expect(events.slice(0, 8).map(({ kind }) => kind)).toEqual([
        ...Array.from({ length: 4 }, () => 'page-in'),
        ...Array.from({ length: 4 }, () => 'page-out'),
      ]);
      await machine.findRoot();
    });
  },
);
