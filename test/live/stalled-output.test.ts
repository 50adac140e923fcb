/** A reader of the output that does not read, on a real guest: the guest waits, or runs on. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { QmpClient } from '../../src/drivers/qemu/qmp/client.ts';
import { type PtmonProcess, startPtmon } from './ptmon-process.ts';
import { leftOut } from './real-guest.ts';
import { WatchedGuest } from './watched-guest.ts';

const VA = 0x600000000000n;
const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** Each round brings two events or more, of 250 bytes: far more than a pipe holds. */
const ROUNDS = 400;

const isHere = !leftOut('test/live/stalled-output, a reader of the output that does not read');

describe.skipIf(!isHere)('a reader that does not read', { timeout: 120_000 }, () => {
  let machine: WatchedGuest;
  beforeAll(async () => {
    machine = await WatchedGuest.boot({ cpu: 'max' });
    await machine.guest.workload.command(`map 4 small at=${hex(VA)}`);
  }, 150_000);
  afterAll(() => machine?.stop());

  /** A watch whose output nobody reads from its first line on, and a guest that makes more events than the pipe holds. */
  async function stalled(choice: string): Promise<{ watch: PtmonProcess; loop: Promise<unknown> }> {
    const { qmpPath, gdbPath, workload } = machine.guest;
    const place = ['--root', hex(machine.root), '--va', `${hex(VA)}+16K=here`, '--json', '--on-stall', choice];
    const watch = startPtmon('watch', '--qmp', qmpPath, '--gdb', gdbPath, ...place);
    await watch.lines(1);
    watch.child.stdout!.pause();
    const loop = workload.command(`loop fault ${ROUNDS} pages=4 at=${hex(VA)}`, { timeoutMs: 90_000 });
    await expect.poll(() => watch.stderr, { timeout: 30_000 }).toMatch(/Nobody has read the output for 1 s/);
    return { watch, loop };
  }

  const linesOf = (watch: PtmonProcess) =>
    watch.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  async function readRest(watch: PtmonProcess): Promise<Record<string, unknown>[]> {
    watch.child.kill('SIGINT');
    watch.child.stdout!.resume();
    expect(await watch.ended).toBe(130);
    return linesOf(watch);
  }

  test('wait: the guest waits, and nothing is lost', async () => {
    const { watch, loop } = await stalled('wait');
    expect(await stateOf()).not.toBe('running');
    watch.child.stdout!.resume();
    await loop;
    const lines = await readRest(watch);
    const { counts, dropped } = lines.at(-1) as { counts: Record<string, number>; dropped?: number };
    expect(dropped).toBeUndefined();
    expect(counts['page-in']).toBeGreaterThanOrEqual(ROUNDS);
    expect(lines.filter(({ seq }) => seq !== undefined)).toHaveLength(counts['page-in']! + counts['page-out']!);
  });

  test('drop: the guest runs on, and what is dropped is counted', async () => {
    const { watch, loop } = await stalled('drop');
    await loop;
    const lines = await readRest(watch);
    const { counts, dropped } = lines.at(-1) as { counts: Record<string, number>; dropped: number };
    const written = lines.filter(({ seq }) => seq !== undefined).length;
    expect(dropped).toBeGreaterThan(0);
    expect(written + dropped).toBe(counts['page-in']! + counts['page-out']!);
  });

  test('detach: the watch ends, and the guest runs on', async () => {
    const { watch, loop } = await stalled('detach');
    await loop;
    expect(await stateOf()).toBe('running');
    watch.child.stdout!.resume();
    expect(await watch.ended).toBe(0);
    expect(linesOf(watch).at(-1)).toMatchObject({ kind: 'end', ended: 'stopped' });
  });

  async function stateOf(): Promise<string> {
    const qmp = await QmpClient.connect(machine.guest.qmpPath).catch(async () => {
      await sleep(50);
      return undefined;
    });
    if (qmp === undefined) return 'unknown';
    try {
      return ((await qmp.execute('query-status')) as { status: string }).status;
    } finally {
      await qmp.close();
    }
  }
});
