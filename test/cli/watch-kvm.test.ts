/** `ptmon watch` on a VM of KVM that is made of two servers of our own: what it refuses, and that the guest runs on then. */
import { describe, expect, test } from 'vitest';
import { run } from './run.ts';
import { PAGED_VA, startVm } from './scripted-vm.ts';

const VA = `0x${(PAGED_VA & ~0xfffn).toString(16)}`;

describe('exact watching under KVM', () => {
  test.each<[string, readonly string[], RegExp]>([
    [
      'of two pages',
      ['--va', `${VA}+8K`, '--mode', 'exact'],
      /^ptmon: --mode exact: it takes watchpoints on 5 page-table entries, .*; --va 0x7f1234567000 alone would fit$/m,
    ],
    ['of two addresses', ['--va', VA, '--va', '0x400000', '--mode', 'exact'], /watchpoints on \d page-table entries/],
    [
      'of a process',
      ['--comm', 'nginx', '--mode', 'exact'],
      /a process has more page-table entries than KVM has watchpoints/,
    ],
    ['to verify', ['--va', `${VA}+8K`, '--verify'], /--verify needs exact watching: it takes watchpoints on 5/],
    ['by the gdbstub alone', ['--va', `${VA}+8K`, '--memory', 'gdb'], /--memory gdb needs exact watching: it takes/],
  ])('%s is refused before anything is watched', async (_what, args, expected) => {
    const vm = await startVm({ kvm: true, debugRegisters: 'fire' });
    const { code, stdout, stderr } = await run(['watch', '--qmp', vm.qmp, '--gdb', vm.gdb, ...args]);
    expect(stderr).toMatch(expected);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(vm.stub.commands.filter((command) => command.startsWith('Z'))).toEqual([]);
    await expect.poll(() => vm.state()).toBe('running');
  });

  test('of one address says that it is by debug registers, and reports each write', async () => {
    const vm = await startVm({ kvm: true, debugRegisters: 'fire' });
    const watching = run(['watch', '--qmp', vm.qmp, '--gdb', vm.gdb, '--va', VA, '--count', '1', '--json']);
    await expect.poll(() => vm.stub.isRunning && vm.stub.watches.length).toBe(4);
    expect(vm.write(vm.entryPa(1), 0n)).toBe(true);
    const { code, stdout, stderr } = await watching;
    expect(stderr).toContain('KVM has 4 watchpoints, the debug registers of the processor.');
    expect(stdout).toContain('"kind":"page-out"');
    expect([code, vm.stub.watches]).toEqual([0, []]);
  });
});
