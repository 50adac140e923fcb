/** The guest that KVM is tried with runs where a processor does: QEMU's own is one. */
import { expect, test } from 'vitest';
import { tryKvm } from '../../src/drivers/qemu/launch/try-kvm.ts';
import { leftOut } from './real-guest.ts';

test.skipIf(leftOut('the trial of KVM'))('the trial of KVM runs in 64-bit mode', async () => {
  expect(await tryKvm({ accelerator: 'tcg', timeoutMs: 15_000 })).toEqual({ works: true });
});
