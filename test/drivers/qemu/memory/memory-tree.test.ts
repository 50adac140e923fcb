/** QEMU's map of memory, as real ones print it. */
import { describe, expect, test } from 'vitest';
import { parseMemoryTree, type RamPiece } from '../../../../src/drivers/qemu/memory/memory-tree.ts';
import { type FixtureName, memoryTree } from './fixture.ts';

/** `first-end block@offset`, in hexadecimal. */
function written({ pa, byteLength, block, offset }: RamPiece): string {
  return `${pa.toString(16)}-${(pa + byteLength).toString(16)} ${block}@${offset.toString(16)}`;
}

describe('the map of a real QEMU', () => {
  const maps: [name: FixtureName, pieces: string[]][] = [
    [
      'pc-256m-nodefaults',
      [
        '0-c0000 pc.ram@0',
        'c0000-e0000 pc.rom@0',
        'e0000-100000 pc.bios@20000',
        '100000-10000000 pc.ram@100000',
        'fffc0000-100000000 pc.bios@0',
      ],
    ],
    [
      'pc-4g-vga-running',
      [
        '0-a0000 pc.ram@0',
        'c0000-cb000 pc.ram@c0000',
        'cb000-ce000 pc.ram@cb000',
        'ce000-e8000 pc.ram@ce000',
        'e8000-f0000 pc.ram@e8000',
        'f0000-100000 pc.ram@f0000',
        '100000-c0000000 pc.ram@100000',
        'fd000000-fe000000 vga.vram@0',
        'fffc0000-100000000 pc.bios@0',
        '100000000-140000000 pc.ram@c0000000',
      ],
    ],
    [
      'q35-6g',
      [
        '0-c0000 pc.ram@0',
        'c0000-e0000 pc.rom@0',
        'e0000-100000 pc.bios@20000',
        '100000-80000000 pc.ram@100000',
        'fffc0000-100000000 pc.bios@0',
        '100000000-200000000 pc.ram@80000000',
      ],
    ],
    [
      'pc-numa',
      [
        '0-c0000 near@0',
        'c0000-e0000 pc.rom@0',
        'e0000-100000 pc.bios@20000',
        '100000-10000000 near@100000',
        '10000000-20000000 far@0',
        'fffc0000-100000000 pc.bios@0',
      ],
    ],
    [
      'q35-memory-backend',
      [
        '0-a0000 mem@0',
        'c0000-cb000 mem@c0000',
        'cb000-ce000 mem@cb000',
        'ce000-e8000 mem@ce000',
        'e8000-f0000 mem@e8000',
        'f0000-100000 mem@f0000',
        '100000-80000000 mem@100000',
        'fd000000-fe000000 vga.vram@0',
        'fffc0000-100000000 pc.bios@0',
        '100000000-200000000 mem@80000000',
      ],
    ],
  ];

  test.each(maps)('%s', (name, pieces) => {
    const text = memoryTree(name);
    expect(parseMemoryTree(text).map(written)).toEqual(pieces);
    expect(parseMemoryTree(text.replaceAll('\n', '\r\n')).map(written)).toEqual(pieces);
  });

  test('is that of the processor outside of system management, where the two differ', () => {
    // In system management mode there is RAM where video memory is.
    expect(memoryTree('pc-4g-vga-running')).toContain('0000000000000000-00000000000bffff (prio 0, ram): pc.ram');
    const pieces = parseMemoryTree(memoryTree('pc-4g-vga-running'));
    expect(pieces.some(({ pa, byteLength }) => pa <= 0xa_0000 && pa + byteLength > 0xa_0000)).toBe(false);
  });
});

describe('a line', () => {
  const viewOf = (...lines: string[]) =>
    ['FlatView #0', ' AS "memory", root: system', ' Root memory region: system', ...lines, ''].join('\n');
  const lines: [line: string, piece: string | undefined][] = [
    ['  0000000000000000-00000000000bffff (prio 0, ram): pc.ram KVM', '0-c0000 pc.ram@0'],
    ['  0000000000000000-00000000000bffff (prio 0, ram): pc.ram KVM KVM', '0-c0000 pc.ram@0'],
    [
      '  0000000100000000-000000013fffffff (prio 0, ram): mem @00000000c0000000 kvm-accel',
      '100000000-140000000 mem@c0000000',
    ],
    ['  0000000100000000-000000013fffffff (prio 0, nv-ram): nvdimm one', '100000000-140000000 nvdimm one@0'],
    ['  00000000ffc00000-00000000ffffffff (prio 0, romd): system.flash0 KVM', 'ffc00000-100000000 system.flash0@0'],
    ['  0000000000001000-0000000000001fff (prio -1000, ram): /objects/mem', '1000-2000 /objects/mem@0'],
    // Only whole pages.
    ['  0000000000000800-0000000000002bff (prio 0, ram): odd @0000000000000800', '1000-2000 odd@1000'],
    ['  0000000000000800-00000000000017ff (prio 0, ram): odd', undefined],
    // The memory of a real device, which may change by being read.
    ['  00000000fd000000-00000000fdffffff (prio 1, ramd): 0000:01:00.0 BAR 0 mmaps[0]', undefined],
    ['  00000000fee00000-00000000feefffff (prio 4096, i/o): apic-msi', undefined],
    ['  00000000fee00000-00000000feefffff (prio 0, container): pci', undefined],
  ];

  test.each(lines)('%s', (line, piece) => {
    const first = '  000000f000000000-000000f000000fff (prio 0, ram): first';
    const all = parseMemoryTree(viewOf(first, line)).map(written);
    expect(all).toEqual(['f000000000-f000001000 first@0', ...(piece === undefined ? [] : [piece])]);
  });

  test('of another view is not of this one, and a processor may have the only view', () => {
    const other = ['FlatView #1', ' AS "I/O", root: io', '  0000000000000000-0000000000000fff (prio 0, ram): no', ''];
    const text = `${viewOf('  0000000000000000-0000000000000fff (prio 0, ram): yes')}\n${other.join('\n')}`;
    expect(parseMemoryTree(text).map(written)).toEqual(['0-1000 yes@0']);
    expect(parseMemoryTree(text.replace('"memory"', '"cpu-memory-0"')).map(written)).toEqual(['0-1000 yes@0']);
  });

  test.each([
    ['', /no map of its memory: ""/],
    ["unknown command: 'info mtree'\r\n", /no map of its memory: "unknown command/],
    ['FlatView #0\n AS "I/O", root: io\n', /no map/],
    [viewOf(), /lists no RAM/],
  ])('missing from %j is an error', (text, message) => {
    expect(() => parseMemoryTree(text)).toThrow(
      expect.objectContaining({ code: 'corrupt-input', message: expect.stringMatching(message) as string }),
    );
  });
});
