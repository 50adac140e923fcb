import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { chooseVm, listVms } from '../../../src/guest/index.ts';

let proc: string;
beforeEach(() => {
  proc = mkdtempSync(join(tmpdir(), 'ptmon-proc-'));
  addProcess('self', [], { mounts: 'mnt:[1]' });
});
afterEach(() => rmSync(proc, { recursive: true }));

function addProcess(pid: string, args: readonly string[], { mounts = 'mnt:[1]', cwd = '/srv' } = {}): void {
  const folder = join(proc, pid);
  mkdirSync(join(folder, 'ns'), { recursive: true });
  writeFileSync(join(folder, 'cmdline'), args.map((each) => `${each}\0`).join(''));
  symlinkSync(mounts, join(folder, 'ns/mnt'));
  symlinkSync(cwd, join(folder, 'cwd'));
}

const TWO_SOCKETS = ['-qmp', 'unix:/run/q,server=on', '-gdb', 'unix:/run/g,server=on'];

test('only programs that run a machine are VMs, in the order of their numbers', () => {
  addProcess('30', ['/usr/bin/qemu-system-x86_64', '-name', 'b']);
  addProcess('4', ['qemu-system-i386']);
  addProcess('5', ['/usr/libexec/qemu-kvm', '-name', 'c']);
  addProcess('6', ['qemu-img', 'convert']);
  addProcess('7', ['bash', '-c', 'qemu-system-x86_64 -s']);
  addProcess('8', []);
  addProcess('9', ['qemu-system-aarch64']);
  expect(listVms(proc).map(({ pid, name }) => [pid, name])).toEqual([
    [4, 'qemu-4'],
    [5, 'c'],
    [30, 'b'],
  ]);
});

describe('where it listens', () => {
  test('a relative path is relative to the folder that QEMU works in', () => {
    addProcess('4', ['qemu-system-x86_64', '-qmp', 'unix:vm.qmp,server=on']);
    expect(listVms(proc)[0]!.qmp).toBe('unix:/srv/vm.qmp');
  });

  test('the path of a QEMU in a container leads through its root', () => {
    addProcess('4', ['qemu-system-x86_64', ...TWO_SOCKETS], { mounts: 'mnt:[2]' });
    expect(listVms(proc)[0]).toMatchObject({
      qmp: `unix:${proc}/4/root/run/q`,
      gdb: `unix:${proc}/4/root/run/g`,
    });
  });
});

test.each([
  [[], [], ['-qmp', '-gdb', '-object']],
  [['-qmp', 'unix:/q'], ['sampled'], ['-gdb', '-object']],
  [TWO_SOCKETS, ['exact', 'sampled'], ['-object']],
  [[...TWO_SOCKETS, '-enable-kvm'], ['exact, four entries', 'sampled'], ['-object']],
  [[...TWO_SOCKETS, '-object', 'memory-backend-memfd,id=m'], ['exact', 'sampled'], []],
])('what can be watched, and what is missing, with %j', (args, modes, missing) => {
  addProcess('4', ['qemu-system-x86_64', ...args]);
  const [vm] = listVms(proc);
  expect(vm!.modes).toEqual(modes);
  expect(vm!.missing.map((flag) => flag.split(' ')[0])).toEqual(missing);
});

describe('which VM is meant', () => {
  test('the only one, where none is named', () => {
    addProcess('4', ['qemu-system-x86_64', '-name', 'web']);
    expect(chooseVm(undefined, listVms(proc)).name).toBe('web');
  });

  test('by name, by PID, and a name that is a number', () => {
    addProcess('4', ['qemu-system-x86_64', '-name', 'web']);
    addProcess('5', ['qemu-system-x86_64', '-name', '77']);
    const vms = listVms(proc);
    expect([chooseVm('web', vms).pid, chooseVm('4', vms).pid, chooseVm(5, vms).pid, chooseVm('77', vms).pid]).toEqual([
      4, 4, 5, 5,
    ]);
  });

  test.each([
    [[], undefined, /^no VM is running/],
    [[], 'web', /^no VM web is running/],
    [['a', 'b'], undefined, /^this host runs 2 VMs: a \(PID 4\), b \(PID 5\); choose one by its PID, as in --vm 4$/],
    [['a', 'b'], 'c', /^no VM has the name or PID c; there are a \(PID 4\), b \(PID 5\)$/],
    [['a', 'a'], 'a', /^2 VMs have the name a: /],
  ])('of %j, %s: a message that says what to do', (names, wanted, message) => {
    names.forEach((name, index) => addProcess(String(4 + index), ['qemu-system-x86_64', '-name', name]));
    expect(() => chooseVm(wanted, listVms(proc))).toThrow(
      expect.objectContaining({ code: 'bad-argument', message: expect.stringMatching(message) }),
    );
  });
});
