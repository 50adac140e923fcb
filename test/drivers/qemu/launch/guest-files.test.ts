import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findQemu } from '../../../../src/drivers/qemu/launch/find-qemu.ts';
import {
  chooseKernel,
  findKernels,
  findPrograms,
  guestDirectory,
} from '../../../../src/drivers/qemu/launch/guest-files.ts';
import { initramfsEntries } from '../../../../src/drivers/qemu/launch/initramfs/initramfs.ts';
import { temporaryFolder } from './temporary-folder.ts';

const unavailable = (...words: readonly (string | RegExp)[]): unknown =>
  expect.objectContaining({
    code: 'source-unavailable',
    message: expect.stringMatching(new RegExp(words.map((word) => `(?=[^]*${word})`).join(''))),
  });

const kernels = {
  'kernels/6.1.0-56-cloud-amd64/vmlinuz': 'a',
  'kernels/6.1.0-56-cloud-amd64/modules/01-zram.ko': 'z',
  'kernels/6.1.0-56-cloud-amd64/modules/00-zsmalloc.ko': 's',
  'kernels/6.12.9-amd64/vmlinuz': 'b',
  'kernels/6.12.9-cloud-amd64/vmlinuz': 'c',
  'kernels/6.2.0-cloud-amd64/vmlinuz': 'd',
  'kernels/half-made/modules/00-x.ko': 'e',
  'boot/vmlinuz-5.10.0': 'f',
  'boot/vmlinuz-6.99.0': 'g',
  'boot/initrd.img-6.99.0': 'h',
};

describe('where the files are', () => {
  test.each([
    [{ PTMON_GUEST_DIR: '/g', XDG_CACHE_HOME: '/c' }, '/g'],
    [{ XDG_CACHE_HOME: '/c' }, '/c/ptmon/guest'],
    [{ PTMON_GUEST_DIR: '', XDG_CACHE_HOME: '' }, join(homedir(), '.cache/ptmon/guest')],
    [{}, join(homedir(), '.cache/ptmon/guest')],
  ])('%o', (env, expected) => {
    expect(guestDirectory(env)).toBe(expected);
  });
});

describe('the kernels at hand', () => {
  test('the fetched ones first, of them the cloud ones, of them the newest; then the host', () => {
    const folder = temporaryFolder(kernels);
    expect(findKernels(folder, join(folder, 'boot')).map((kernel) => kernel.release)).toEqual([
      '6.12.9-cloud-amd64',
      '6.2.0-cloud-amd64',
      '6.1.0-56-cloud-amd64',
      '6.12.9-amd64',
      '6.99.0',
      '5.10.0',
    ]);
  });

  test('modules come in the order of their numbers', () => {
    const folder = temporaryFolder(kernels);
    const kernel = findKernels(folder, '/nowhere').find(({ release }) => release === '6.1.0-56-cloud-amd64');
    expect(kernel?.modules.map((path) => path.replace(/^.*\//, ''))).toEqual(['00-zsmalloc.ko', '01-zram.ko']);
  });

  test('the preferred one is chosen; one that is named by its path keeps its modules', () => {
    const folder = temporaryFolder(kernels);
    const boot = join(folder, 'boot');
    expect(chooseKernel(undefined, folder, boot).release).toBe('6.12.9-cloud-amd64');
    const path = join(folder, 'kernels/6.1.0-56-cloud-amd64/vmlinuz');
    expect(chooseKernel(path, folder, boot)).toMatchObject({ path, modules: [expect.any(String), expect.any(String)] });
    expect(chooseKernel(join(boot, 'vmlinuz-5.10.0'), folder, '/nowhere').release).toBe('5.10.0');
  });

  test('where there is none, the message says how to get one', () => {
    const folder = temporaryFolder();
    expect(() => chooseKernel(undefined, folder, join(folder, 'boot'))).toThrow(
      unavailable('linux-image-cloud-amd64', 'node guest/build.mjs', folder) as Error,
    );
    expect(() => chooseKernel('/no/such/kernel', folder)).toThrow(unavailable('/no/such/kernel') as Error);
  });
});

describe('the programs of the guest', () => {
  test('without a workload the message says how to build it', () => {
    expect(() => findPrograms(temporaryFolder())).toThrow(unavailable('node guest/build.mjs', 'gcc') as Error);
  });

  test('busybox is optional, and in the initramfs under all its names', () => {
    const bare = temporaryFolder({ workload: 'w' });
    expect(findPrograms(bare)).toEqual({ workload: join(bare, 'workload') });
    const folder = temporaryFolder({ workload: 'w', busybox: 'b', 'busybox.list': 'busybox\nls\nsh\n' });
    const programs = findPrograms(folder);
    expect(programs.busybox?.applets).toEqual(['busybox', 'ls', 'sh']);
    const entries = initramfsEntries(programs, [join(folder, 'workload'), join(folder, 'busybox')]);
    expect(entries.map((entry) => (entry.kind === 'link' ? `${entry.path} -> ${entry.target}` : entry.path))).toEqual([
      'bin',
      'dev',
      'modules',
      'run',
      'dev/console',
      'init',
      'bin/workload -> /init',
      'bin/busybox',
      'bin/ls -> busybox',
      'bin/sh -> busybox',
      'modules/00-workload',
      'modules/01-busybox',
    ]);
  });
});

describe('QEMU on this machine', () => {
  test('the first on the PATH that can be run', () => {
    const folder = temporaryFolder({
      'a/qemu-system-x86_64': 'not to be run',
      'b/qemu-system-x86_64': '#!/bin/sh',
      'c/qemu-system-x86_64': '#!/bin/sh',
      'c/my-qemu': '#!/bin/sh',
    });
    const env = { PATH: `:${folder}/none:${folder}/a:${folder}/b:${folder}/c` };
    expect(findQemu(undefined, env)).toBe(`${folder}/b/qemu-system-x86_64`);
    expect(findQemu('my-qemu', env)).toBe(`${folder}/c/my-qemu`);
    expect(findQemu(`${folder}/c/my-qemu`, {})).toBe(`${folder}/c/my-qemu`);
    for (const chosen of ['other', folder, `${folder}/a/qemu-system-x86_64`]) {
      expect(() => findQemu(chosen, env)).toThrow(unavailable(chosen) as Error);
    }
  });

  test('where there is none, the message names the package', () => {
    expect(() => findQemu(undefined, { PATH: temporaryFolder() })).toThrow(unavailable('qemu-system-x86') as Error);
    expect(() => findQemu(undefined, {})).toThrow(unavailable('qemu-system-x86') as Error);
  });
});
