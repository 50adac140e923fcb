/** `ptmon doctor` tries the KVM of this host where no VM is named; here with programs in QEMU's place. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { describe, expect, onTestFinished, test } from 'vitest';
import { checkKvm } from '../../src/cli/commands/doctor/kvm-check.ts';

/** Has only this program on the PATH, as QEMU, for one test. */
function qemuIs(script: string | undefined): void {
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-doctor-'));
  const before = process.env['PATH'];
  onTestFinished(() => {
    process.env['PATH'] = before;
    rmSync(folder, { recursive: true });
  });
  process.env['PATH'] = folder;
  if (script === undefined) return;
  const path = join(folder, 'qemu-system-x86_64');
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

describe('the KVM of this host', () => {
  test.each([
    ['works', 'exit 85', { outcome: 'ok', detail: 'works: it ran a guest of a few instructions' }],
    [
      'resets its guest',
      'exit 0',
      { outcome: 'missing', detail: expect.stringMatching(/^does not work: .*resets; .*TCG/) },
    ],
    [
      'is not there',
      'echo "qemu: no /dev/kvm" >&2; exit 1',
      { outcome: 'missing', detail: expect.stringContaining('no /dev/kvm') },
    ],
    [
      'is not for this user',
      'echo "Could not access KVM kernel module: Permission denied" >&2; exit 1',
      { outcome: 'missing', detail: expect.stringContaining('Permission denied (your user must be in the group kvm') },
    ],
    ['cannot be tried without QEMU', undefined, { outcome: 'skipped', detail: expect.stringMatching(/^not tried: /) }],
  ] as const)('%s', async (_what, script, expected) => {
    qemuIs(script);
    expect(await checkKvm(new AbortController().signal)).toEqual({ name: 'kvm', ...expected });
  });
});
