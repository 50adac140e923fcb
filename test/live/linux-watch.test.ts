/** Processes of real guests, watched from their first moment to their last. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { findKernels } from '../../src/drivers/qemu/launch/guest-files.ts';
import { type LaunchedGuest, launchGuest, type LaunchOptions } from '../../src/drivers/qemu/launch/launch.ts';
import { pagesOf } from '../../src/drivers/qemu/launch/workload-report.ts';
import { runProgram } from '../../src/cli/program.ts';
import { Recorder } from '../sinks/examples.ts';
import { leftOut } from './real-guest.ts';
import { byProcess, watchProcesses } from './watched-processes.ts';

const MACHINES: readonly (readonly [name: string, options: LaunchOptions, storm: number])[] = [
  ['5-level paging, one vCPU', { cpu: 'max' }, 1000],
  ['page-table isolation, two vCPUs', { cpu: 'Skylake-Server', smp: 2 }, 200],
  // Those that `guest/build.mjs --kernel linux-image-686 --types` has fetched.
  ...findKernels()
    .filter(({ bits, types }) => bits === 32 && types !== undefined)
    .map(({ path, release }) => [`Linux ${release}`, { kernel: path }, 100] as const),
];

/** Of each page: in, out, in, out, and out at the end. */
function expectToAlternate(events: readonly MonitorEvent[], heldBefore: (va: bigint) => boolean): void {
  const held = new Map<string, number>();
  for (const event of events) {
    if (event.kind !== 'page-in' && event.kind !== 'page-out') continue;
    for (let page = 0; page < event.pages; page++) {
      const va = event.va + BigInt(page) * 4096n;
      const key = `${event.root} ${va}`;
      const pa = event.pa + page * 4096;
      if (event.kind === 'page-in') {
        expect(held.has(key)).toBe(false);
        held.set(key, pa);
      } else {
        if (held.has(key) || !heldBefore(va)) expect(held.get(key)).toBe(pa);
        held.delete(key);
      }
    }
  }
  expect([...held]).toEqual([]);
}

describe.skipIf(leftOut('test/live/linux-watch, watching processes of a real guest')).each(MACHINES)(
  'R4 %s',
  { timeout: 300_000 },
  (_name, options, storm) => {
    let guest: LaunchedGuest;
    beforeAll(async () => {
      guest = await launchGuest(options);
      await guest.waitForReady();
    }, 150_000);
    afterAll(() => guest?.stop());

    test('the heap of a process, page by page as it says itself', async () => {
      const { pid } = await guest.workload.ready();
      const { events, reports } = await watchProcesses(guest, {
        selection: { by: { pid }, map: { kind: 'named', name: 'heap' } },
        commands: ['heap 12', 'heap back', 'heap 3'],
      });
      const said = reports.flatMap((report) =>
        report.kind === 'pages' ? pagesOf(report).map(({ va, before, pfn }) => [va, before, pfn]) : [],
      );
      expect(said.length).toBeGreaterThan(20);
      const seen = events
        .filter(({ va }) => said.some(([page]) => page === va))
        .map((event) => {
          const frame = 'pa' in event ? event.pa / 4096 : null;
          return [event.va, event.kind === 'page-out' ? frame : null, event.kind === 'page-in' ? frame : null];
        });
      expect(seen).toEqual(said);
      for (const { tags } of events) expect(tags).toEqual([`workload[${pid}]`, 'heap']);
    });

    test(`a storm of ${storm} short processes: each is seen, and nothing of it after its end`, async () => {
      const { events, reports, watchpoints, summary, notices } = await watchProcesses(guest, {
        selection: { by: { command: 'storm' } },
        commands: [`storm ${storm} parallel=4`],
      });
      const pids = reports.flatMap((report) =>
        report.kind === 'other' && report.op === 'process' ? report.fields['pid'] : [],
      );
      expect(pids.length).toBe(storm);
      const seen = byProcess(events);
      expect([...seen.keys()].sort()).toEqual(pids.map((pid) => `storm[${String(pid)}]`).sort());
      for (const [tag, said] of seen) {
        const kinds = said.map(({ kind }) => kind);
        expect(`${tag} ${kinds.indexOf('root-gone')}`).toBe(`${tag} ${kinds.length - 1}`);
        expect(`${tag} ${String(said.some((event) => event.tags[1] === 'anon' && event.kind === 'page-in'))}`).toBe(
          `${tag} true`,
        );
        expectToAlternate(said, () => true);
      }
      expect(watchpoints?.after).toBe(watchpoints?.before);
      expect(notices.filter((text) => text.startsWith('not as'))).toEqual([]);
      expect(summary).toMatchObject({ ended: 'stopped', faults: 0, counts: { 'root-gone': storm } });
      console.log(`${events.length} events, ${summary.foundByResync} of them found by comparing`);
    });

    test('a process that becomes another by exec, and one that becomes wanted by its name', async () => {
      const { events, notices } = await watchProcesses(guest, {
        selection: { by: { command: 'renamed' } },
        commands: ['sh cp /bin/busybox /tmp/renamed; /tmp/renamed sleep 0; /tmp/renamed true; rm /tmp/renamed'],
        until: (all) => all.filter(({ kind }) => kind === 'root-gone').length === 2,
      });
      const seen = byProcess(events);
      expect([...seen.keys()].every((tag) => tag.startsWith('renamed['))).toBe(true);
      expect(seen.size).toBe(2);
      for (const said of seen.values()) {
        expect(said.at(-1)?.kind).toBe('root-gone');
        const names = new Set(said.map(({ tags }) => tags[1]));
        expect([...names]).toEqual(expect.arrayContaining(['/tmp/renamed', 'stack']));
      }
      expect(notices.filter((text) => text.startsWith('not as'))).toEqual([]);
    });

    test('a process of one number: the watch ends with it', async () => {
      const { pid } = await guest.workload.ready();
      const [stdout, stderr] = [new Recorder(), new Recorder()];
      const { types } = guest.kernel;
      const btf = types === undefined ? [] : ['--btf', types];
      const args = ['watch', '--pid', String(pid), '--json', '--qmp', guest.qmpPath, '--gdb', guest.gdbPath, ...btf];
      const watching = runProgram(args, { stdout, stderr });
      await expect.poll(() => stderr.text, { timeout: 30_000 }).toContain('Watching 1 process');
      await guest.workload.command('exit');
      expect(await watching).toBe(0);
      const lines = stdout.text.trim().split('\n');
      expect(lines.filter((line) => line.includes('"kind":"root-gone"')).length).toBe(1);
      expect(lines.at(-1)).toContain('"kind":"end"');
      await guest.workload.ready();
    });

    test('samples: each process that lasts is seen, and its end', async () => {
      const { events, reports } = await watchProcesses(guest, {
        selection: { by: { command: 'storm' } },
        sampled: true,
        commands: ['storm 6 parallel=2 ms=700'],
        until: (all) => all.filter(({ kind }) => kind === 'root-gone').length === 6,
      });
      const pids = reports.flatMap((report) =>
        report.kind === 'other' && report.op === 'process' ? report.fields['pid'] : [],
      );
      const gone = events.filter(({ kind }) => kind === 'root-gone').map(({ tags }) => tags[0]);
      expect(gone.sort()).toEqual(pids.map((pid) => `storm[${String(pid)}]`).sort());
      for (const said of byProcess(events).values()) expectToAlternate(said, () => true);
    });
  },
);
