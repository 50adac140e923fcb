import { describe, expect, test } from 'vitest';
import { Machine } from '../../../src/testing/index.ts';
import { memoryMap } from '../../../src/testing/machine/memory-map.ts';

const badArgument = expect.objectContaining({ code: 'bad-argument' });
const READ_ONLY = 5;

function bytesAt(machine: Machine, pa: number, length: number): number[] {
  return Array.from({ length }, (_, n) => {
    const page = machine.page(Math.floor((pa + n) / 4096))!;
    return new Uint8Array(page.buffer, page.byteOffset)[(pa + n) % 4096]!;
  });
}

function counting(length: number, from = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, n) => n + from);
}

describe('RAM', () => {
  test.each([
    [
      10,
      true,
      [
        [0, 5],
        [0x100000, 5],
      ],
    ],
    [10, false, [[0, 10]]],
    [
      0x200,
      false,
      [
        [0, 0xa0],
        [0x100, 0x160],
      ],
    ],
    [
      0x401,
      true,
      [
        [0, 0xa0],
        [0x100, 0x161],
        [0x100000, 0x200],
      ],
    ],
  ] as const)('%d frames, above 4 GiB %s', (frames, high, ranges) => {
    expect(memoryMap(frames, high).map((one) => [one.gfn, one.frames])).toEqual(ranges);
  });

  test.each([0, -1, 1.5, 2 ** 20, NaN])('%d frames are refused', (frames) => {
    expect(() => memoryMap(frames, true)).toThrow(badArgument);
  });

  test('is all there from the start, and nothing else is', () => {
    const machine = new Machine({ memoryFrames: 0x180 });
    expect(machine.memory.page(0)).toBe(machine.page(0));
    expect(machine.memory.page(0x1000bf)).toBe(machine.page(0x1000bf));
    expect(machine.page(0x1000bf)).toHaveLength(1024);
    for (const gfn of [0xa0, 0xff, 0xfffff, 0x1000c0]) expect(machine.page(gfn), gfn.toString(16)).toBeUndefined();
  });
});

describe('writes that do not trap', () => {
  test.each([
    ['one byte', 0x1003, 1],
    ['two bytes, unaligned', 0x1ffd, 2],
    ['eight bytes across two frames', 0x1ffd, 8],
    ['three frames', 0x1ff0, 4128],
  ])('%s is in memory at once, and nothing is said', (_, pa, length) => {
    const machine = new Machine({ memoryFrames: 16 });
    expect(machine.write(0, pa, counting(length))).toBe(false);
    expect(bytesAt(machine, pa, length)).toEqual([...counting(length)]);
    expect(bytesAt(machine, pa - 1, 1)).toEqual([0]);
    expect(bytesAt(machine, pa + length, 1)).toEqual([0]);
    expect(machine.takeEvents()).toEqual([]);
  });

  test('an entry, a frame, and nothing at all', () => {
    const machine = new Machine({ memoryFrames: 16 });
    machine.writeEntry(0, 0x1008, 0x04030201, 0x08070605);
    machine.writeEntry(0, 0x1010, 0x04030201);
    expect(bytesAt(machine, 0x1008, 16)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 0, 0, 0, 0]);
    machine.writeFrame(0, 2, machine.page(1)!);
    expect(machine.page(2)).toEqual(machine.page(1));
    expect(machine.write(0, 0x1008, new Uint8Array())).toBe(false);
  });

  test('what is not RAM swallows its part', () => {
    const machine = new Machine({ memoryFrames: 4, mode: '32-bit' });
    expect(machine.write(0, 0x3ffe, counting(4))).toBe(false);
    expect(bytesAt(machine, 0x3ffc, 4)).toEqual([0, 0, 1, 2]);
    expect(machine.writeEntry(0, 0x5000, 1, 1)).toBe(false);
    expect(machine.writeFrame(0, 9, machine.page(0)!)).toBe(false);
  });
});

describe('writes that trap', () => {
  test.each([
    ['a byte', 0x2000, 1],
    ['a straddling write whose first frame is free', 0x1ffc, 8],
    ['a straddling write whose last frame is free', 0x2ffc, 8],
    ['one with the frame in its middle', 0x1ffc, 4104],
  ])('%s is said first and done by the commit', (_, pa, length) => {
    const machine = new Machine({ memoryFrames: 16, vcpus: 2 });
    machine.views.setAccess(0, 2, READ_ONLY);
    const bytes = counting(length);
    expect(machine.write(1, pa, bytes)).toBe(true);
    bytes.fill(0xff);
    expect(machine.takeEvents()).toEqual([{ kind: 'write', vcpu: 1, view: 0, pa, byteLength: length }]);
    expect(bytesAt(machine, pa, length).every((byte) => byte === 0)).toBe(true);

    machine.commit(1);
    expect(machine.takeEvents()).toEqual([{ kind: 'commit', vcpu: 1 }]);
    expect(bytesAt(machine, pa, length)).toEqual([...counting(length)]);
    machine.commit(1);
    expect(machine.takeEvents()).toEqual([]);
  });

  test.each([
    ['entry of 8 bytes', (machine: Machine) => machine.writeEntry(0, 0x2008, 1, 2), 0x2008, 8, [1, 2]],
    ['entry of 4 bytes', (machine: Machine) => machine.writeEntry(0, 0x2008, 1), 0x2008, 4, [1, 0]],
    ['frame', (machine: Machine) => machine.writeFrame(0, 2, machine.page(1)!), 0x2000, 4096, [3, 4]],
  ] as const)('so is an %s', (_, write, pa, byteLength, words) => {
    const machine = new Machine({ memoryFrames: 16 });
    machine.page(1)!.set([3, 4], 2);
    machine.views.setAccess(0, 2, READ_ONLY);
    expect(write(machine)).toBe(true);
    machine.page(1)!.fill(0);
    expect(machine.takeEvents()).toEqual([{ kind: 'write', vcpu: 0, view: 0, pa, byteLength }]);
    machine.commit(0);
    expect([...machine.page(2)!.subarray(2, 4)]).toEqual(words);
  });

  test('only in the view that the vCPU is in', () => {
    const machine = new Machine({ memoryFrames: 16, vcpus: 2, views: 2 });
    machine.views.setAccess(1, 2, READ_ONLY);
    machine.switchView(1, 1);
    expect(machine.write(0, 0x2000, counting(8))).toBe(false);
    expect(machine.write(1, 0x2000, counting(8, 9))).toBe(true);
    expect(machine.takeEvents()).toEqual([{ kind: 'write', vcpu: 1, view: 1, pa: 0x2000, byteLength: 8 }]);
  });

  test.each([
    [0, true],
    [1, true],
    [2, false],
    [3, false],
    [5, true],
  ])('access %d: traps %s', (access, traps) => {
    const machine = new Machine({ memoryFrames: 16 });
    machine.views.setAccess(0, 2, access);
    expect(machine.write(0, 0x2000, counting(1))).toBe(traps);
  });

  test('several vCPUs may stand in a trap, and commit in any order; one alone cannot write meanwhile', () => {
    const machine = new Machine({ memoryFrames: 16, vcpus: 3 });
    machine.views.setAccess(0, 2, READ_ONLY);
    for (const vcpu of [0, 1, 2]) machine.write(vcpu, 0x2000, counting(4, vcpu * 16));
    expect(() => machine.write(1, 0x3000, counting(1))).toThrow(badArgument);
    machine.commit(2);
    machine.commit(0);
    expect(bytesAt(machine, 0x2000, 4)).toEqual([0, 1, 2, 3]);
    machine.commit(1);
    expect(bytesAt(machine, 0x2000, 4)).toEqual([16, 17, 18, 19]);
    expect(machine.takeEvents().filter((event) => event.kind === 'commit')).toEqual(
      [2, 0, 1].map((vcpu) => ({ kind: 'commit', vcpu })),
    );
  });
});

describe('what does not trap', () => {
  test('a device writes to a protected frame, and says so afterwards', () => {
    const machine = new Machine({ memoryFrames: 16 });
    machine.views.setAccess(0, 2, 0);
    machine.dma([
      { pa: 0x1ffe, bytes: counting(4) },
      { pa: 0x2100, bytes: counting(2) },
    ]);
    expect(bytesAt(machine, 0x1ffe, 4)).toEqual([1, 2, 3, 4]);
    expect(bytesAt(machine, 0x2100, 2)).toEqual([1, 2]);
    expect(machine.takeEvents()).toEqual([{ kind: 'missed', reason: 'dma', lost: null }]);
  });

  test('a reset lands what is in flight, clears memory and registers, and keeps views', () => {
    const machine = new Machine({ memoryFrames: 0x300, vcpus: 2, views: 2 });
    machine.views.setAccess(1, 2, READ_ONLY);
    machine.switchView(1, 1);
    machine.vcpu(0).load({ cr0: 0x80000001n, cr3: 0x2000n, cr4: 0x20n, efer: 0x400n });
    machine.write(0, 0x100000000, counting(8));
    machine.write(1, 0x2000, counting(8));
    machine.takeEvents();
    machine.reset();
    expect(machine.takeEvents()).toEqual([
      { kind: 'commit', vcpu: 1 },
      { kind: 'missed', reason: 'reset', lost: null },
    ]);
    expect(bytesAt(machine, 0x2000, 8)).toEqual(Array(8).fill(0));
    expect(bytesAt(machine, 0x100000000, 8)).toEqual(Array(8).fill(0));
    expect(machine.readRegisters(0)).toEqual({ cr0: 0x60000010n, cr3: 0n, cr4: 0n, efer: 0n });
    expect(machine.vcpu(0).paging).toBeUndefined();
    expect(machine.views.getAccess(1, 2)).toBe(READ_ONLY);
    expect(machine.vcpu(1).view).toBe(1);
  });
});

describe('vCPUs', () => {
  test.each([[{ vcpus: 0 }], [{ vcpus: 17 }], [{ vcpus: 1.5 }], [{ views: 0 }], [{ memoryFrames: 0 }]])(
    '%o is refused',
    (options) => {
      expect(() => new Machine(options)).toThrow(badArgument);
    },
  );

  test('one that does not exist is named in the error', () => {
    const machine = new Machine({ memoryFrames: 16, vcpus: 2 });
    for (const vcpu of [-1, 2, 0.5]) {
      expect(() => machine.readRegisters(vcpu)).toThrow(badArgument);
      expect(() => machine.write(vcpu, 0, counting(1))).toThrow(badArgument);
    }
  });

  test.each([
    ['32-bit', { cr0: 0x80000001n, cr4: 0x10n, efer: 0n }],
    ['pae', { cr0: 0x80000001n, cr4: 0x20n, efer: 0n }],
    ['4-level', { cr0: 0x80000001n, cr4: 0x20n, efer: 0x400n }],
    ['5-level', { cr0: 0x80000001n, cr4: 0x1020n, efer: 0x400n }],
    [undefined, { cr0: 0x60000010n, cr4: 0x20n, efer: 0n }],
  ])('translate as their registers say: %s', (mode, registers) => {
    const vcpu = new Machine({ memoryFrames: 16 }).vcpu(0);
    vcpu.load({ ...registers, cr3: 0x12345000n });
    expect(vcpu.paging?.mode.name).toBe(mode);
    expect(vcpu.registers).toEqual({ ...registers, cr3: 0x12345000n });
  });

  test.each([
    ['4-level', undefined, 0x1_2345_6001, 0x1_2345_6000],
    ['4-level', 1n << 47n, 0x8000_2345_6ffe, 0x2345_6000],
    ['pae', undefined, 0x2345_6fff, 0x2345_6fe0],
    ['32-bit', undefined, 0x2345_6018, 0x2345_6000],
  ] as const)(
    'T2 in %s the bits of CR3 that are not the root are not (encryption mask %s)',
    (mode, encryptionMask, cr3, root) => {
      const machine = new Machine({ memoryFrames: 16, mode, ...(encryptionMask && { encryptionMask }) });
      const vcpu = machine.vcpu(0);
      const cr4 = { '4-level': 0x20n, pae: 0x20n, '32-bit': 0n }[mode];
      vcpu.load({ cr0: 0x80000001n, cr3: 0n, cr4, efer: mode === '4-level' ? 0x400n : 0n });
      vcpu.loadCr3(cr3);
      expect(vcpu.root.toString(16)).toBe(root.toString(16));
      expect(vcpu.registers.cr3).toBe(BigInt(cr3));
    },
  );
});
