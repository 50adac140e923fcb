import { describe, expect, test } from 'vitest';
import { kernelCommandLine, type Machine, qemuArguments } from '../../../../src/drivers/qemu/launch/command-line.ts';

const machine: Machine = {
  accelerator: 'tcg',
  cpu: 'max,la57=off',
  vcpuCount: 2,
  memoryMiB: 512,
  kernel: '/k/vmlinuz',
  initramfs: '/r/initramfs.gz',
  append: 'console=ttyS0',
  ramFile: '/r/ram',
  consolePath: '/r/console.sock',
  controlPath: '/r/control.sock',
  qmpPath: '/r/qmp.sock',
  gdbPath: '/r/gdb.sock',
  exitOnReboot: true,
  startPaused: false,
  extraArguments: [],
};

/** What follows each occurrence of an option. */
function valuesOf(option: string, changes: Partial<Machine> = {}): readonly (string | undefined)[] {
  const args = qemuArguments({ ...machine, ...changes });
  return args.flatMap((word, index) => (word === option ? [args[index + 1]] : []));
}

describe("QEMU's command line", () => {
  test.each([
    ['-machine', ['pc,memory-backend=mem,accel=tcg']],
    ['-cpu', ['max,la57=off']],
    ['-smp', ['2']],
    ['-m', ['512M']],
    ['-object', ['memory-backend-file,id=mem,size=512M,mem-path=/r/ram,share=on']],
    ['-kernel', ['/k/vmlinuz']],
    ['-initrd', ['/r/initramfs.gz']],
    ['-append', ['console=ttyS0']],
    ['-qmp', ['unix:/r/qmp.sock,server=on,wait=off']],
    ['-gdb', ['unix:/r/gdb.sock,server=on,wait=off']],
    // The first port is the kernel's console, the second the workload's.
    ['-serial', ['chardev:console', 'chardev:control']],
    ['-chardev', ['socket,id=console,path=/r/console.sock', 'socket,id=control,path=/r/control.sock']],
  ])('%s', (option, expected) => {
    expect(valuesOf(option)).toEqual(expected);
  });

  test.each<[string, Partial<Machine>, string, boolean]>([
    ['a reboot ends QEMU', {}, '-no-reboot', true],
    ['unless it is allowed', { exitOnReboot: false }, '-no-reboot', false],
    ['the guest starts at once', {}, '-S', false],
    ['unless it is to wait', { startPaused: true }, '-S', true],
    ['what is asked for is added', { extraArguments: ['-d', 'int'] }, 'int', true],
  ])('%s', (_, changes, word, expected) => {
    expect(qemuArguments({ ...machine, ...changes }).includes(word)).toBe(expected);
  });

  test('a comma in a path does not begin an option', () => {
    expect(valuesOf('-gdb', { gdbPath: '/a,b' })).toEqual(['unix:/a,,b,server=on,wait=off']);
    expect(valuesOf('-object', { ramFile: '/a,b' })[0]).toContain('mem-path=/a,,b,share=on');
  });

  test.each<Partial<Machine>>([{ memoryMiB: 0 }, { memoryMiB: 1.5 }, { vcpuCount: 0 }, { vcpuCount: Number.NaN }])(
    '%o is no machine',
    (changes) => {
      expect(() => qemuArguments({ ...machine, ...changes })).toThrow(
        expect.objectContaining({ code: 'bad-argument' }),
      );
    },
  );
});

describe("the kernel's command line", () => {
  test.each([
    [{}, false, ''],
    [{ nokaslr: true }, true, ''],
    [{ append: 'quiet x=1' }, false, 'quiet x=1'],
    [{ nokaslr: true, append: 'quiet' }, true, 'quiet'],
    [{ smp: 2 }, false, 'maxcpus=1'],
    [{ smp: 2, append: 'maxcpus=2' }, false, 'maxcpus=2'],
  ])('%o', (options, nokaslr, last) => {
    const words = kernelCommandLine(options).split(' ');
    expect(words).toContain('console=ttyS0');
    // A kernel that panics ends QEMU instead of standing there.
    expect(words).toContain('panic=-1');
    expect(words).toContain('no_timer_check');
    expect(words.includes('nokaslr')).toBe(nokaslr);
    expect(words.join(' ').endsWith(last)).toBe(true);
    expect(words).not.toContain('');
  });

  test('leaves the start of the other processors to init where QEMU translates the code that Linux patches', () => {
    expect(kernelCommandLine({ smp: 1 })).not.toContain('maxcpus');
    expect(kernelCommandLine({ smp: 2, accelerator: 'tcg' })).toContain('maxcpus=1');
    expect(kernelCommandLine({ smp: 2, accelerator: 'kvm' })).not.toContain('maxcpus');
  });
});
