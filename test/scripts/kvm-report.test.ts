/** `npm run kvm:report` on a machine whose KVM does not work: the reason, and nothing to decipher. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { expect, onTestFinished, test } from 'vitest';

test('the reason is the last line of the report', { timeout: 120_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-report-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const qemu = join(folder, 'qemu-system-x86_64');
  writeFileSync(qemu, '#!/bin/sh\necho "Could not access KVM kernel module: Permission denied" >&2\nexit 1\n');
  chmodSync(qemu, 0o755);
  const { VITEST: _, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'run', '--project', 'kvm', '--no-color'],
    {
      env: { ...env, PATH: `${folder}:${process.env['PATH']}`, PTMON_KVM: 'host' },
      encoding: 'utf8',
    },
  );
  const why = 'Could not access KVM kernel module: Permission denied (your user must be in the group kvm, or be root)';
  expect(stderr.trim().split('\n').at(-1)).toBe(`kvm: KVM does not work on this machine: ${why}`);
  expect(status).toBe(1);
  expect(stdout).not.toContain('No test files');
});
