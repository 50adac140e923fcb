/**
 * `ptmon run --kernel` with 32-bit kernels: exact where the guest maps all of its page tables for good, and by samples, with the reason,
 * where it has them in high memory.
 */
import { basename, dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findKernels } from '../../src/drivers/qemu/launch/guest-files.ts';
import { startPtmon } from './ptmon-process.ts';
import { leftOut } from './real-guest.ts';

const KERNELS = findKernels().filter(({ path, bits }) => basename(dirname(dirname(path))) === 'kernels' && bits === 32);

const isOut = leftOut('test/live/linux-32-watch, watching 32-bit kernels', () =>
  KERNELS.length === 0 ? 'no 32-bit kernel: `node guest/build.mjs --kernel linux-image-686` fetches one' : undefined,
);

const GUESTS = isOut ? [['none', ''] as const] : KERNELS.map(({ release, path }) => [release, path] as const);
/** Debian's kernels map the first 896 MiB or less for good. */
const HIGH_MEMORY = ['--ram', '1536'];

describe.skipIf(isOut).each(GUESTS)('ptmon run --kernel of Linux %s', { timeout: 120_000 }, (release, kernel) => {
  const mode = release.endsWith('-pae') ? 'pae' : '32-bit';
  const boot = (...words: readonly string[]) =>
    startPtmon('run', '--kernel', kernel, '--each', '--pace', '20', ...words);

  test('is exact, and as QEMU translates at each stop', async () => {
    // Only kernels with PAE isolate themselves, on processors that need it: writes come with the kernel's root loaded, not with the user's.
    const cpu = mode === 'pae' ? ['--cpu', 'Skylake-Server'] : [];
    const run = boot('--count', '20', '--verify', ...cpu);
    expect(await run.ended, run.stderr).toBe(0);
    expect(run.stdout.split('\n').filter((line) => /^ *[\d.]+ [+-] workload +0x4000/.test(line))).toHaveLength(20);
    expect(run.stderr).toContain(`${mode} paging, 1 vCPU.`);
    expect(run.stdout).toMatch(/\d+ writes, no events lost/);
    expect(run.stderr).toMatch(/verify: \d\d+ comparisons with QEMU's own translation, 0 differences/);
  });

  test('samples, and says why beforehand, where page tables are in high memory', async () => {
    const run = boot('--count', '6', ...HIGH_MEMORY);
    expect(await run.ended, run.stderr).toBe(0);
    const why = 'Sampling, not exact: the guest maps the page table at 0x';
    expect(run.stderr).toContain(why);
    expect(run.stderr.replaceAll(/\s+/g, ' ')).toContain('only while it writes to it (high memory, CONFIG_HIGHPTE)');
    expect(run.stderr.indexOf(why)).toBeLessThan(run.stderr.indexOf('Watching 8 addresses'));
    // The page tables are those of high memory, and so are the pages.
    const frames = [...run.stdout.matchAll(/^ *[\d.]+ [+-] workload +0x\w+ +(0x\w+)/gm)].map(([, pa]) => Number(pa));
    // What went and came at one sample is said together.
    expect(frames.length).toBeGreaterThanOrEqual(6);
    expect(frames.some((pa) => pa > 896 * 2 ** 20)).toBe(true);
  });

  test('is refused where only exact watching will do', async () => {
    const run = boot('--count', '1', '--verify', ...HIGH_MEMORY);
    expect(await run.ended).toBe(2);
    expect(run.stderr.replaceAll(/\s+/g, ' ')).toMatch(
      /ptmon: --verify needs exact watching: the guest maps the page table at 0x[0-9a-f]+ only while/,
    );
  });
});
