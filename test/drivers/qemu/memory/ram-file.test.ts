/** From QEMU's memory backends to files on this host. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseMemoryTree } from '../../../../src/drivers/qemu/memory/memory-tree.ts';
import type { RamBackend } from '../../../../src/drivers/qemu/memory/ram-backends.ts';
import { openRamFiles } from '../../../../src/drivers/qemu/memory/ram-file.ts';
import { formatRamMap } from '../../../../src/drivers/ramfile/index.ts';
import { makeRamFile } from '../../ramfile/ram-file-of.ts';
import { temporaryFolder } from '../transport/peer.ts';
import { memoryTree } from './fixture.ts';

const [MIB, GIB] = [2 ** 20, 2 ** 30];
const numa = parseMemoryTree(memoryTree('pc-numa'));
const q35 = parseMemoryTree(memoryTree('q35-memory-backend'));

function backend(id: string, path: string | null, byteLength: number, more: Partial<RamBackend> = {}): RamBackend {
  return { id, type: 'memory-backend-file', path, isShared: true, byteLength, fileOffset: 0, ...more };
}

function open(...args: Parameters<typeof openRamFiles>): { path: string; map: string }[] {
  const parts = openRamFiles(...args);
  onTestFinished(() => {
    for (const { source } of parts) source.close();
  });
  return parts.map(({ source, regions }) => ({ path: source.name, map: formatRamMap(regions) }));
}

const Q35_MAP =
  '0x0+640K@0x0,0xc0000+44K@0xc0000,0xcb000+12K@0xcb000,0xce000+104K@0xce000,0xe8000+32K@0xe8000,' +
  '0xf0000+64K@0xf0000,0x100000+2047M@0x100000,0x100000000+4G@0x80000000';

describe('the file', () => {
  test('of a guest with more than 4 GiB has its RAM on both sides of the hole', () => {
    const { path } = makeRamFile(6 * GIB);
    expect(open(q35, [backend('mem', path, 6 * GIB)])).toEqual([{ path, map: Q35_MAP }]);
    const named = q35.map((piece) => (piece.block === 'mem' ? { ...piece, block: '/objects/mem' } : piece));
    expect(open(named, [backend('mem', path, 6 * GIB)])).toEqual([{ path, map: Q35_MAP }]);
  });

  test('of each NUMA node has that node', () => {
    const [near, far] = [makeRamFile(256 * MIB), makeRamFile(257 * MIB)];
    const backends = [
      backend('near', near.path, 256 * MIB),
      backend('far', far.path, 256 * MIB, { fileOffset: MIB }),
      // Not in the map: for a device that is not there.
      backend('other', null, MIB),
    ];
    expect(open(numa, backends)).toEqual([
      { path: near.path, map: '0x0+768K@0x0,0x100000+255M@0x100000' },
      { path: far.path, map: '0x10000000+256M@0x100000' },
    ]);
  });

  test('may be named by the user, whatever path QEMU knows', () => {
    const { path } = makeRamFile(6 * GIB);
    for (const known of ['/in/a/container', null]) {
      expect(open(q35, [backend('mem', known, 6 * GIB)], path)).toEqual([{ path, map: Q35_MAP }]);
    }
    const memfd = backend('mem', null, 6 * GIB, { type: 'memory-backend-memfd' });
    expect(open(q35, [memfd], path)).toEqual([{ path, map: Q35_MAP }]);
  });
});

describe('there is no file to read', () => {
  const small = () => makeRamFile(MIB).path;
  const cases: [why: string, run: () => unknown, message: RegExp][] = [
    ['without backends', () => open(q35, []), /keeps its RAM in no file; start it with -object memory-backend-file/],
    ['with backends that are not RAM', () => open(q35, [backend('other', small(), MIB)]), /in no file/],
    [
      'in a backend without one',
      () => open(q35, [backend('mem', null, GIB, { type: 'memory-backend-memfd' })]),
      /mem is a memory-backend-memfd, a file without a path; --ram-file \/proc\/PID\/fd\/N names it/,
    ],
    [
      'in RAM of QEMU alone',
      () => open(q35, [backend('mem', null, GIB, { type: 'memory-backend-ram' })]),
      /mem is a memory-backend-ram, which has no file; start QEMU with .*share=on/,
    ],
    [
      'where QEMU does not say where',
      () => open(q35, [backend('mem', null, GIB)]),
      /does not say where the file of mem is/,
    ],
    [
      'that is shared',
      () => open(q35, [backend('mem', small(), GIB, { isShared: false })]),
      /mem is not shared, so the guest's writes do not reach .*; give QEMU share=on/,
    ],
    [
      'that is shared, though the user names it',
      () => open(q35, [backend('mem', null, GIB, { isShared: false })], small()),
      /mem is not shared/,
    ],
    [
      'on this host',
      () => open(q35, [backend('mem', '/nowhere/ram', GIB)]),
      /\/nowhere\/ram, does not exist on this host; .* --ram-file \/proc\/PID\/root\/nowhere\/ram/,
    ],
    [
      'on this host, though the user names it',
      () => open(q35, [backend('mem', null, GIB)], '/nowhere/ram'),
      /the RAM file \/nowhere\/ram does not exist/,
    ],
    [
      'but a folder, as for huge pages',
      () => open(q35, [backend('mem', temporaryFolder(), GIB)]),
      /the path of mem is the folder .*a file without a name; --ram-file \/proc\/PID\/fd\/N/,
    ],
    [
      'but a folder that the user names',
      () => open(q35, [backend('mem', null, GIB)], temporaryFolder()),
      /is not a file/,
    ],
    [
      'of that size',
      () => open(q35, [backend('mem', small(), 6 * GIB)]),
      /has 1048576 bytes, mem needs 6442450944: it is not the file of this guest/,
    ],
    [
      'of that size, after its offset',
      () => open(numa.slice(4, 5), [backend('far', makeRamFile(256 * MIB).path, 256 * MIB, { fileOffset: 4096 })]),
      /has 268435456 bytes, far needs 268439552/,
    ],
    [
      'for one of two nodes',
      () => {
        const near = backend('near', makeRamFile(256 * MIB).path, 256 * MIB);
        return open(numa, [near, backend('far', null, 256 * MIB, { type: 'memory-backend-ram' })]);
      },
      /far is a memory-backend-ram/,
    ],
    [
      'that could be two nodes',
      () => open(numa, [backend('near', null, 1), backend('far', null, 1)], small()),
      /in 2 backends \(near, far\)/,
    ],
  ];

  test.each(cases)('%s', (_why, run, message) => {
    expect(run).toThrow(
      expect.objectContaining({ code: 'source-unavailable', message: expect.stringMatching(message) as string }),
    );
  });
});
