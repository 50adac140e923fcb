/** Checks of `Driver.registers`. */
import assert from 'node:assert/strict';
import type { CheckGroup } from './contract-check.ts';

const CR0_PG = 1n << 31n;

export const REGISTER_CHECKS: CheckGroup = {
  async 'every vCPU has them, and at least one has paging on'(open) {
    const { registers } = (await open()).driver;
    if (registers === undefined) return 'no registers';
    assert.ok(registers.vcpuCount > 0);
    const all = Array.from({ length: registers.vcpuCount }, (_, vcpu) => registers.readRegisters(vcpu));
    for (const { cr0, cr3, cr4, efer } of all) {
      for (const value of [cr0, cr3, cr4, efer]) assert.equal(BigInt.asUintN(64, value), value);
    }
    assert.ok(
      all.some(({ cr0 }) => (cr0 & CR0_PG) !== 0n),
      'no vCPU has paging on',
    );
  },

  async 'a vCPU that does not exist is a bad argument'(open) {
    const { registers } = (await open()).driver;
    if (registers === undefined) return 'no registers';
    for (const vcpu of [-1, registers.vcpuCount, 0.5])
      assert.throws(() => registers.readRegisters(vcpu), { code: 'bad-argument' });
  },
};
