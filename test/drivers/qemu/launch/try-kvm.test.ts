import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { tryKvm } from '../../../../src/drivers/qemu/launch/try-kvm.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** A program in QEMU's place that does so. */
function qemu(script: string): string {
  return join(temporaryFolder({ qemu: `#!/bin/sh\n${script}\n` }), 'qemu');
}

describe('a trial of KVM', () => {
  test('works where the guest says so, and leaves nothing', async () => {
    const path = qemu('echo "$@" > "$0.arguments"; exit 85');
    expect(await tryKvm({ qemu: path })).toEqual({ works: true });
    const said = readFileSync(`${path}.arguments`, 'utf8');
    expect(said).toContain('accel=kvm');
    expect(existsSync(/-bios (\S+)/.exec(said)![1]!)).toBe(false);
  });

  test.for([
    ['exit 0', /resets/],
    ['echo +; exec sleep 20', /does not finish a loop within 0.5 s/],
    [
      'echo "$0: warning: no pni" >&2; echo "$0: failed to initialize kvm: No such file" >&2; exit 1',
      /^failed to initialize kvm/,
    ],
    ['exit 3', /exit code 3/],
    ['kill -ABRT $$', /SIGABRT/],
  ] as const)('does not where QEMU does "%s"', async ([script, why]) => {
    const trial = await tryKvm({ qemu: qemu(script), timeoutMs: 500 });
    expect(trial).toMatchObject({ works: false, detail: expect.stringMatching(why) });
  });

  test('fails where there is no QEMU to try with', async () => {
    await expect(tryKvm({ qemu: '/no/such/qemu' })).rejects.toMatchObject({ code: 'source-unavailable' });
  });

  test('ends when it is aborted', async () => {
    const signal = AbortSignal.timeout(100);
    await expect(tryKvm({ qemu: qemu('exec sleep 20'), signal })).rejects.toMatchObject({ name: 'TimeoutError' });
  });
});
