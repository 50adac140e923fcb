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
      /^ptmon: --mode exact: these addresses need watchpoints on 5 page-table entries, .*; --va 0x7f1234567000 alone would fit$/m,
    ],
    ['of two addresses', ['--va', VA, '--va', '0x400000', '--mode', 'exact'], /watchpoints on \d page-table entries/],
    [
      'of a process',
      ['--comm', 'nginx', '--mode', 'exact'],
      /a process has more page-table entries than KVM has watchpoints/,
    ],
    [
      'to verify',
      ['--va', `${VA}+8K`, '--verify'],
      /--verify needs exact watching: these addresses need watchpoints on 5/,
    ],
    [
      'by the gdbstub alone',
      ['--va', `${VA}+8K`, '--memory', 'gdb'],
      /--memory gdb needs exact watching: these addresses need/,
    ],
  ])('%s is refused before anything is watched', async (_what, args, expected) => {
    const vm = await startVm({ kvm: true, debugRegisters: 'fire' });
    const { code, stdout, stderr } = await run(['watch', '--qmp', vm.qmp, '--gdb', vm.gdb, ...args]);
    expect(stderr).toMatch(expected);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(vm.stub.commands.filter((command) => command.startsWith('Z'))).toEqual([]);
    await expect.poll(() => vm.state()).toBe('running');
  });

  /** The page tables can be written at one more address, as Linux's own are in its image and in its map of all memory. */
  async function startWithTwoMaps() {
    const vm = await startVm({ kvm: true, debugRegisters: 'fire' });
    vm.put(0x6_2008n, 0x8000_0000_0000_00e3n);
    return vm;
  }

  test('of tables that the guest can write to at two addresses is refused before anything is watched', async () => {
    const vm = await startWithTwoMaps();
    const { code, stderr } = await run(['watch', '--qmp', vm.qmp, '--gdb', vm.gdb, '--va', VA, '--mode', 'exact']);
    expect(stderr).toMatch(
      /^ptmon: --mode exact: these addresses need watchpoints on 4 page-table entries, some of which the guest can write to at several addresses \(8 watchpoints\), and KVM has 4/m,
    );
    expect([code, vm.stub.commands.filter((command) => command.startsWith('Z'))]).toEqual([2, []]);
  });

  test('of such tables is not begun where sampling will do', async () => {
    const vm = await startWithTwoMaps();
    const { stderr } = await run(['watch', '--qmp', vm.qmp, '--gdb', vm.gdb, '--va', VA]);
    // Its memory cannot be read while it runs: this QEMU has none.
    expect(stderr).toMatch(
      /^Sampling, not exact: these addresses need watchpoints on 4 page-table entries, some of which .*\(8 watchpoints\)/m,
    );
    expect(vm.stub.commands.filter((command) => command.startsWith('Z'))).toEqual([]);
  });

  test('of one address, given twice, is exact', async () => {
    const vm = await startVm({ kvm: true, debugRegisters: 'fire' });
    const where = ['--va', VA, '--va', `${VA}=again`, '--va', `0x${((PAGED_VA & ~0xfffn) | 8n).toString(16)}`];
    const watching = run(['watch', '--qmp', vm.qmp, '--gdb', vm.gdb, ...where, '--count', '1', '--mode', 'exact']);
    await expect.poll(() => vm.stub.isRunning && vm.stub.watches.length).toBe(4);
    vm.write(vm.entryPa(1), 0n);
    expect(await watching).toMatchObject({ code: 0 });
  });

  test('says which address alone would fit, whichever it is', async () => {
    const vm = await startVm({ kvm: true, debugRegisters: 'fire' });
    const where = ['--va', `${VA}+8K`, '--va', '0x400000'];
    const { stderr } = await run(['watch', '--qmp', vm.qmp, '--gdb', vm.gdb, ...where, '--mode', 'exact']);
    expect(stderr).toMatch(/; --va 0x7f1234567000 alone would fit$/m);
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
