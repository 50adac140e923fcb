/** A script that asks for proof of where a sampled guest lost nothing. */
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type LaunchedGuest, launchGuest } from '../../src/drivers/qemu/launch/launch.ts';
import { attach, type BatchWatch, type Guest } from '../../src/guest/index.ts';
import { whyNoProof } from './proved-windows.ts';
import { leftOut } from './real-guest.ts';

const what = 'test/live/script-proof, a script that samples with proof';
const isHere = !leftOut(what);
const missing = isHere ? whyNoProof() : undefined;
if (missing !== undefined) process.stderr.write(`LEFT OUT: ${what}: ${missing}\n`);

/** As many samples as a test waits for. */
const SAMPLES = 3;

describe.skipIf(!isHere || missing !== undefined)('a script on a real guest', { timeout: 300_000 }, () => {
  let vm: LaunchedGuest;
  let pid: number;

  beforeAll(async () => {
    vm = await launchGuest({ cpu: 'max,la57=off' });
    await vm.waitForReady();
    ({ pid } = await vm.workload.ready());
  }, 150_000);
  afterAll(() => vm?.stop());

  async function attached(): Promise<Guest> {
    const guest = await attach({ qmp: vm.qmpPath, gdb: vm.gdbPath }, { proof: true });
    onTestFinished(() => guest.close());
    return guest;
  }

  const windowsOf = (watch: BatchWatch) => watch.lost().windows ?? { proved: 0, unknown: 0 };
  const samplesOf = (watch: BatchWatch) => windowsOf(watch).proved + windowsOf(watch).unknown;

  test('knows that nothing is missed of a process that sleeps, and that something may be when it works', async () => {
    const guest = await attached();
    const kinds: string[] = [];
    const onEvents = (events: readonly { readonly kind: string }[]) =>
      void kinds.push(...events.map(({ kind }) => kind));
    const watch = await guest.follow({ selection: { by: { pid } }, onEvents });
    await expect.poll(() => windowsOf(watch).proved, { timeout: 60_000 }).toBeGreaterThanOrEqual(SAMPLES);
    const before = windowsOf(watch).unknown;
    const { kind, text } = await vm.workload.command('heap 6').then(
      () => ({ kind: 'done', text: '' }),
      (error: Error) => ({ kind: 'failed', text: error.message }),
    );
    expect({ kind, text }).toEqual({ kind: 'done', text: '' });
    await expect.poll(() => windowsOf(watch).unknown, { timeout: 60_000 }).toBeGreaterThan(before);
    expect(watch.lost()).toMatchObject({ unknown: true, reasons: ['sampled'] });
    await watch.stop();
  });

  test.each([
    ['a part of its memory', { by: { pid: -1 }, map: { kind: 'named', name: 'heap' } }, 'areas of memory may come'],
    ['all processes of a name', { by: { command: 'workload' } }, 'processes may come and go'],
  ] as const)('of %s it is never known', async (_, selection, why) => {
    const guest = await attached();
    const by = 'pid' in selection.by ? { pid } : selection.by;
    const watch = await guest.follow({ selection: { ...selection, by }, onEvents: () => {} });
    await expect.poll(() => samplesOf(watch), { timeout: 60_000 }).toBeGreaterThanOrEqual(SAMPLES);
    expect(windowsOf(watch).proved).toBe(0);
    expect(watch.lost().reasons).toContainEqual(expect.stringContaining(why));
    await watch.stop();
  });

  test('is refused what takes the gdbstub, and told what is missing', async () => {
    const guest = await attached();
    const why = 'the option "proof" watches the guest by samples while it runs: attach without it';
    const { exact, sampled, write, breakpoints } = guest.capabilities;
    for (const capability of [exact, write, breakpoints]) expect(capability).toEqual({ available: false, why });
    expect(sampled.available).toBe(true);
    await expect(guest.breakpoint(0n, () => {})).rejects.toThrow(why);

    process.env['PTMON_WRITTEN_PAGES'] = '/nowhere/written-pages';
    onTestFinished(() => void delete process.env['PTMON_WRITTEN_PAGES']);
    const watch = guest.follow({ selection: { by: { pid } }, onEvents: () => {} });
    await expect(watch).rejects.toThrow(
      expect.objectContaining({ code: 'source-unavailable', message: expect.stringMatching(/^no proof .*ENOENT/) }),
    );
  });
});

test('a file has no samples to prove anything of', async () => {
  await expect(attach({ file: import.meta.filename }, { proof: true })).rejects.toThrow(/is a file: .* no proof/);
});
