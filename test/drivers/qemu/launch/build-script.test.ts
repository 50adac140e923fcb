import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { BUILD_SCRIPT, findKernels, findPrograms } from '../../../../src/drivers/qemu/launch/guest-files.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** A module as the script reads it: with the names of those that it needs. */
const module = (depends: string): string => `ELF\0license=GPL\0depends=${depends}\0name=x\0`;

/** apt, dpkg-deb and a compiler that note how they were called; packages are what is in the folder `tree`. */
const TOOLS = {
  'bin/apt-cache':
    '#!/bin/sh\necho "apt-cache $*" >> "$FAKE/log"\necho "$4"; echo "  Depends: linux-image-$VERSION-cloud-amd64"\n',
  'bin/apt-get':
    '#!/bin/sh\necho "apt-get $*" >> "$FAKE/log"\nfor name; do :; done\n' +
    'test -z "$OFFLINE" || { echo "E: Unable to fetch" >&2; exit 100; }\n: > "${name}_1_amd64.deb"\n',
  'bin/dpkg-deb': '#!/bin/sh\ntar -C "$FAKE/tree" -c .\n',
  'bin/cc':
    '#!/bin/sh\necho "cc" >> "$FAKE/log"\nwhile [ "$1" != -o ]; do shift; done\necho program > "$2"\n' +
    'test -z "$BROKEN" || { echo "cannot find -lc" >&2; exit 1; }\n',
  'tree/boot/config-6.1.0-9-cloud-amd64': 'CONFIG_X=y',
  'tree/boot/vmlinuz-6.1.0-9-cloud-amd64': 'the kernel',
  'tree/bin/busybox': '#!/bin/sh\nprintf "ls\\nsh\\n"\n',
  'tree/lib/modules/r/kernel/drivers/block/zram/zram.ko': module('zsmalloc,lz4-compress'),
  'tree/lib/modules/r/kernel/mm/zsmalloc.ko': module(''),
  'tree/lib/modules/r/kernel/lib/lz4/lz4_compress.ko': module(''),
  'tree/lib/modules/r/kernel/crypto/lzo-rle.ko': module(''),
  'tree/lib/modules/r/kernel/crypto/unwanted.ko': module(''),
};

interface Run {
  readonly status: number | null;
  readonly said: string;
}

/** A machine of its own for the script: its tools, its cache. */
function machine(files: Readonly<Record<string, string>> = TOOLS): {
  readonly cache: string;
  readonly folder: string;
  run(args?: readonly string[], env?: Readonly<Record<string, string>>): Run;
  log(): string;
} {
  const folder = temporaryFolder(files);
  const cache = join(folder, 'cache');
  return {
    cache,
    folder,
    run: (args = [], env = {}) => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [BUILD_SCRIPT, ...args], {
        encoding: 'utf8',
        env: {
          PATH: `${folder}/bin:/usr/bin:/bin`,
          FAKE: folder,
          VERSION: '6.1.0-9',
          CC: join(folder, 'bin/cc'),
          PTMON_GUEST_DIR: cache,
          ...env,
        },
      });
      return { status, said: stdout + stderr };
    },
    log: () => (existsSync(join(folder, 'log')) ? readFileSync(join(folder, 'log'), 'utf8') : ''),
  };
}

describe('the script that makes the guest', () => {
  test('makes what the launcher finds', () => {
    const { run, cache } = machine();
    expect(run()).toMatchObject({ status: 0 });
    const [kernel] = findKernels(cache, '/nowhere');
    expect(kernel?.release).toBe('6.1.0-9-cloud-amd64');
    expect(readFileSync(kernel?.path ?? '', 'utf8')).toBe('the kernel');
    // Each after those that it needs, whether their names are written with - or with _.
    expect(kernel?.modules.map((path) => path.replace(/^.*\//, ''))).toEqual([
      '00-lzo-rle.ko',
      '01-zsmalloc.ko',
      '02-lz4_compress.ko',
      '03-zram.ko',
    ]);
    const programs = findPrograms(cache);
    expect(programs.busybox?.applets).toEqual(['ls', 'sh']);
    expect(statSync(programs.workload).mode & 0o777).toBe(0o755);
    expect(readdirSync(cache).sort()).toEqual(['busybox', 'busybox.list', 'kernels', 'workload', 'workload.sha256']);
  });

  test('does nothing twice', () => {
    const { run, log } = machine();
    run();
    const before = log();
    expect(before.match(/apt-get .* download/g)).toHaveLength(2);
    expect(run()).toMatchObject({ status: 0, said: expect.stringContaining('6.1.0-9-cloud-amd64 is there') });
    expect(log()).toBe(before);
  });

  test('--update replaces the kernel that the package stood for', () => {
    const { run, cache, folder } = machine();
    run();
    writeFileSync(join(folder, 'tree/boot/vmlinuz-6.1.0-10-cloud-amd64'), 'newer');
    spawnSync('rm', [join(folder, 'tree/boot/vmlinuz-6.1.0-9-cloud-amd64')]);
    expect(run(['--update'], { VERSION: '6.1.0-10' })).toMatchObject({ status: 0 });
    expect(findKernels(cache, '/nowhere').map(({ release }) => release)).toEqual(['6.1.0-10-cloud-amd64']);
  });

  test('a kernel that is named exactly is not looked up', () => {
    const { run, log } = machine();
    expect(run(['--kernel', 'linux-image-6.1.0-9-cloud-amd64'])).toMatchObject({ status: 0 });
    expect(log()).not.toContain('apt-cache');
  });

  test('a kernel whose package only depends on those of its parts, as from Debian 14 on', () => {
    const { 'tree/boot/vmlinuz-6.1.0-9-cloud-amd64': vmlinuz, ...others } = TOOLS;
    const { run, log, cache } = machine({
      ...others,
      'bin/apt-cache':
        '#!/bin/sh\necho "apt-cache $*" >> "$FAKE/log"\n' +
        'for part in base binary modules; do echo "  Depends: linux-$part-7.2.1-cloud-amd64"; done\n',
      'bin/dpkg-deb':
        '#!/bin/sh\ncase "$2" in *linux-image-*) cd "$FAKE/nothing";; *linux-binary-*) cd "$FAKE/binary";; *) cd "$FAKE/tree";; esac\n' +
        'tar -c .\n',
      'nothing/usr/share/doc': '',
      'binary/usr/lib/modules/7.2.1-cloud-amd64/vmlinuz': vmlinuz,
    });
    expect(run(['--kernel', 'linux-image-7.2.1-cloud-amd64'])).toMatchObject({ status: 0 });
    const [kernel] = findKernels(cache, '/nowhere');
    expect(kernel).toMatchObject({ release: '7.2.1-cloud-amd64' });
    expect(kernel?.modules.length).toBeGreaterThan(0);
    expect(log()).not.toContain('linux-base');
  });

  test('--no-kernel needs no apt', () => {
    const { run, log, cache } = machine();
    expect(run(['--no-kernel'])).toMatchObject({ status: 0 });
    expect(log()).toBe('cc\n');
    expect(findPrograms(cache).busybox).toBeUndefined();
  });

  test.each<[string, readonly string[], Readonly<Record<string, string>>, readonly string[], number]>([
    ['no compiler', [], { CC: '/no/such/cc' }, ['apt-get install gcc libc6-dev'], 1],
    ['no static C library', [], { BROKEN: '1' }, ['cannot find -lc', 'libc6-dev'], 1],
    ['no network, or old lists', [], { OFFLINE: '1' }, ['E: Unable to fetch', 'apt-get update'], 1],
    ['a package that is none', [], { VERSION: 'x' }, ['no kernel for linux-image-cloud-amd64', 'apt-get update'], 1],
    ['no Debian', [], { PATH: '/nowhere' }, ['apt-cache cannot be run', '--no-kernel'], 1],
    ['an unknown option', ['--flavour'], {}, ["Unknown option '--flavour'", 'usage:'], 2],
  ])('%s: says what to do and leaves nothing half made', (_, args, env, words, code) => {
    const { run, cache } = machine();
    const { status, said } = run(args, env);
    for (const word of words) expect(said).toContain(word);
    expect(status).toBe(code);
    const left = existsSync(cache) ? readdirSync(cache) : [];
    expect(left.filter((name) => name.startsWith('making-'))).toEqual([]);
    expect(findKernels(cache, '/nowhere')).toEqual([]);
  });
});
