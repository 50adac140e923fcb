import { describe, expect, test } from 'vitest';
import { readQemuCommandLine } from '../../../src/guest/discovery/qemu-command-line.ts';

const DEFAULTS = {
  name: undefined,
  qmp: [],
  gdb: undefined,
  accelerator: 'tcg',
  memoryBytes: 128 * 2 ** 20,
  sharesMemory: false,
};

describe('what a command line of QEMU says', () => {
  test.each<[string, Partial<typeof DEFAULTS> | object]>([
    ['', {}],
    ['-name web', { name: 'web' }],
    ['-name guest=web,debug-threads=on', { name: 'web' }],
    ['-name a,,b', { name: 'a,b' }],
    ['-name debug-threads=on,guest=late', { name: 'late' }],
    ['-name -qmp -append -s -snapshot -gdb tcp::9', { name: '-qmp', gdb: ':9' }],
    ['-qmp unix:/run/vm.qmp,server=on,wait=off', { qmp: ['unix:/run/vm.qmp'] }],
    ['--qmp unix:vm.qmp,server,nowait', { qmp: ['unix:vm.qmp'] }],
    ['-qmp tcp:localhost:4444,server=on', { qmp: ['localhost:4444'] }],
    ['-qmp stdio', { qmp: [] }],
    ['-chardev socket,id=m,path=/a,,b,server=on -mon chardev=m,mode=control', { qmp: ['unix:/a,b'] }],
    ['-chardev socket,id=m,host=::1,port=9 -mon m,mode=control', { qmp: ['[::1]:9'] }],
    ['-chardev socket,id=m,path=/x -mon chardev=m,mode=readline', { qmp: [] }],
    [
      '-name guest=web -chardev socket,id=charmonitor,fd=23,server=on,wait=off -mon chardev=charmonitor,mode=control',
      { name: 'web', qmp: ['virsh:web'] },
    ],
    ['-object {"qom-type":"memory-backend-memfd","id":"pc.ram","share":true,"size":134217728}', { sharesMemory: true }],
    ['-object {"qom-type":"memory-backend-ram","id":"pc.ram"}', {}],
    ['-object {broken', {}],
    ['-s', { gdb: ':1234' }],
    ['-gdb tcp::9000,server=on', { gdb: ':9000' }],
    ['-gdb unix:/run/vm.gdb,server=on,wait=off', { gdb: 'unix:/run/vm.gdb' }],
    ['-chardev socket,path=/g,server=on,wait=off,id=g -gdb chardev:g', { gdb: 'unix:/g' }],
    ['-gdb none', {}],
    ['-enable-kvm', { accelerator: 'kvm' }],
    ['-accel kvm', { accelerator: 'kvm' }],
    ['-accel accel=tcg,thread=single', { accelerator: 'tcg' }],
    ['-machine q35,accel=kvm:tcg', { accelerator: 'kvm' }],
    ['-M accel=hvf', { accelerator: 'hvf' }],
    ['-m 1G', { memoryBytes: 2 ** 30 }],
    ['-m 512', { memoryBytes: 512 * 2 ** 20 }],
    ['-m size=1.5G,slots=2,maxmem=4G', { memoryBytes: 1.5 * 2 ** 30 }],
    ['-object memory-backend-file,id=mem,size=1G,mem-path=/dev/shm/vm,share=on', { sharesMemory: true }],
    ['-object memory-backend-memfd,id=mem,size=1G', { sharesMemory: true }],
    ['-object memory-backend-memfd,id=mem,size=1G,share=off', { sharesMemory: false }],
    ['-object memory-backend-ram,id=mem,size=1G,share=on', { sharesMemory: false }],
    ['-object memory-backend-memfd,id=a -object memory-backend-ram,id=b', { sharesMemory: false }],
    ['-object rng-random,id=r -object memory-backend-memfd,id=a', { sharesMemory: true }],
  ])('%s', (line, said) => {
    expect(readQemuCommandLine(line.split(' '))).toEqual({ ...DEFAULTS, ...said });
  });
});
