import { readFileSync, statSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import type { Driver } from '../../src/driver/index.ts';
import { openQemu, openQemuSampling } from '../../src/drivers/qemu/index.ts';
import type { LaunchOptions } from '../../src/drivers/qemu/launch/launch.ts';
import { openTrace, recordTrace, TraceReader } from '../../src/drivers/trace/index.ts';
import { openLinux, ProcessWatch } from '../../src/linux/index.ts';
import { openSession } from '../../src/session/index.ts';
import type { Statistics } from '../../src/sinks/index.ts';
import { jsonlSink } from '../../src/sinks/index.ts';
import { HEADER } from '../drivers/trace/recorded-life.ts';
import { readByThePage } from '../drivers/trace/page-reader.ts';
import { KeptText, replay } from '../drivers/trace/sessions.ts';
import { temporaryFolder } from '../drivers/trace/temporary-folder.ts';
import { RebuiltPages } from '../sinks/rebuilt-pages.ts';
import { differences } from './page-history.ts';
import { leftOut } from './real-guest.ts';
import { WatchedGuest } from './watched-guest.ts';

const VA = 0x340000000000n;
/** Elsewhere, and nothing is there yet. */
const SAMPLED_VA = 0x350000000000n;
const NAMED_VA = 0x360000000000n;
const PAGES = 64;
const KINDS = ['protection', 'restructure'] as const;

const MACHINES: readonly [name: string, options: LaunchOptions][] = [
  ['one vCPU', { cpu: 'max,la57=off' }],
  ['two vCPUs', { cpu: 'max', smp: 2 }],
];

const file = temporaryFolder();

interface Recorded {
  readonly text: string;
  readonly events: readonly MonitorEvent[];
  readonly statistics: Statistics;
  /** Milliseconds that it took live. */
  readonly tookMs: number;
}

describe.skipIf(leftOut('test/live/trace, recording a real guest')).each(MACHINES)(
  'a real guest with %s',
  { timeout: 120_000 },
  (name, options) => {
    let machine: WatchedGuest;
    beforeAll(async () => {
      machine = await WatchedGuest.boot(options);
      // The page table is there before anybody watches: threads at full speed would change a new one unseen.
      const beside = `0x${(VA + BigInt(PAGES) * 4096n).toString(16)}`;
      for (const command of [`map 1 small at=${beside}`, `touch ${beside}`]) {
        await machine.guest.workload.command(command);
      }
    }, 150_000);
    afterAll(() => machine?.stop());

    /** Watches a range live, and records that. */
    async function record(driver: Driver, path: string, va: bigint, work: () => Promise<unknown>): Promise<Recorded> {
      const output = new KeptText();
      const stop = new AbortController();
      const session = await openSession({
        driver,
        recorder: recordTrace(path, { options: HEADER }),
        kinds: KINDS,
        sinks: [jsonlSink(output, { options: HEADER, time: true })],
        signal: stop.signal,
      });
      await session.watch({ root: machine.root, va, byteLength: PAGES * 4096, tag: 'live' });
      const start = performance.now();
      const working = work().finally(() => stop.abort());
      working.catch(() => {});
      const events: MonitorEvent[] = [];
      for await (const event of session) events.push(event);
      await working;
      return { text: output.text, events, statistics: session.statistics(), tookMs: performance.now() - start };
    }

    async function openExact(): Promise<Driver> {
      return openQemu({ qmp: machine.guest.qmpPath, gdb: machine.guest.gdbPath });
    }

    test('E7 live run, recording and replay agree byte for byte', async () => {
      const path = file(`${name}.trace`);
      const threads = machine.guest.workload.hello?.cpus ?? 1;
      const at = `0x${VA.toString(16)}`;
      const reports: Awaited<ReturnType<typeof machine.guest.workload.command>>[number][] = [];
      const live = await record(await openExact(), path, VA, async () => {
        for (const command of [
          `map 16 small at=${at}`,
          `touch ${at} 16`,
          `fork ${at} 16`,
          `cow ${at} 8`,
          'child exit',
          `mprotect ${at} 4 r`,
          `unmap ${at} 16`,
          `loop mix ${300 / threads} pages=8 at=${at} stride=131072 threads=${threads} seed=5`,
        ]) {
          reports.push(...(await machine.guest.workload.command(command, { timeoutMs: 100_000 })));
        }
      });
      expect(live.events.length).toBeGreaterThan(500);
      // What was recorded is what the guest says that it did.
      expect(differences(live.events, reports, [{ va: VA, pages: PAGES }], machine.pid)).toEqual([]);

      expect(await replay(path, KINDS)).toBe(live.text);
      const startMs = performance.now();
      expect(await replay(path, KINDS)).toBe(live.text);
      const replayMs = performance.now() - startMs;

      // A replay that is recorded says the same again, and the format's page is enough to read it.
      const again = file(`${name}-again.trace`);
      await (await openSession({ ...openTrace(path), recorder: recordTrace(again), kinds: KINDS })).run();
      expect(await replay(again, KINDS)).toBe(live.text);
      const said = (of: string) => readByThePage(of).records.filter(({ name: each }) => each !== 'instant');
      expect(said(again).filter(isSaid)).toEqual(said(path).filter(isSaid));

      const { writes } = live.statistics;
      const bytes = statSync(path).size;
      console.log(
        `${name}: ${writes} writes, ${(bytes / writes).toFixed(1)} bytes each; ` +
          `${(live.tookMs / 1000).toFixed(1)} s live, ${(live.tookMs / replayMs).toFixed(1)} times as fast replayed`,
      );
      expect(bytes / writes).toBeLessThan(20);
    });

    test('the names that Linux has for what happens are replayed without it', async () => {
      const path = file(`${name}-names.trace`);
      const driver = await openExact();
      const watch = new ProcessWatch({
        linux: await openLinux(driver),
        selection: { by: { command: 'workload' } },
        isExact: true,
        vcpuCount: driver.registers?.vcpuCount ?? 1,
      });
      const output = new KeptText();
      const stop = new AbortController();
      const session = await openSession({
        driver,
        recorder: recordTrace(path, { options: HEADER }),
        kinds: KINDS,
        sinks: [jsonlSink(output, { options: HEADER, time: true })],
        signal: stop.signal,
        system: watch,
      });
      await watch.begin(session);
      const running = session.run();
      const at = `0x${NAMED_VA.toString(16)}`;
      try {
        for (const command of [
          `map 16 small at=${at}`,
          `touch ${at} 16`,
          `fork ${at} 16`,
          `cow ${at} 8`,
          'child exit',
        ]) {
          await machine.guest.workload.command(command, { timeoutMs: 100_000 });
        }
      } finally {
        stop.abort();
        await running;
      }
      expect(output.text).toContain('"tags":["workload[');
      expect(output.text).toMatch(/"tags":\["workload\[(\d+)\]","anon"\],"pid":\1,"comm":"workload","map":"anon"/);
      // Its lines alone say at each of them which page is where.
      const { contradictions, fitting } = new RebuiltPages(output.text);
      expect(contradictions).toEqual([]);
      expect(fitting).toBeGreaterThan(16);
      expect(output.text).toMatch(/"tags":\["workload\[\d+\]","(stack|heap|anon)"\]/);
      expect(await replay(path, KINDS)).toBe(output.text);
    });

    test('a recording by samples replays with the same losses said', async () => {
      const path = file(`${name}-samples.trace`);
      const at = `0x${SAMPLED_VA.toString(16)}`;
      const driver = await openQemuSampling({ qmp: machine.guest.qmpPath, intervalMs: 5 });
      const live = await record(driver, path, SAMPLED_VA, async () => {
        for (let round = 0; round < 10; round++) {
          for (const command of [`map 16 small at=${at}`, `touch ${at} 16`, 'sleep 20', `unmap ${at} 16`, 'sleep 20']) {
            await machine.guest.workload.command(command);
          }
        }
      });
      expect(live.events.length).toBeGreaterThan(100);
      expect(live.statistics).toMatchObject({ writes: 0, lost: { known: 0, unknown: true } });
      expect(await replay(path, KINDS)).toBe(live.text);
      const reader = new TraceReader(path);
      expect(reader.about).toMatchObject({ source: 'qemu', capture: 'samples' });
      reader.close();
      expect(readFileSync(path).length / live.statistics.resyncs).toBeLessThan(40);
    });
  },
);

/** What the source said, and what was watched. */
function isSaid({ name }: { readonly name: string }): boolean {
  return !['table', 'no-memory', 'left', 'changes', 'registers'].includes(name);
}
