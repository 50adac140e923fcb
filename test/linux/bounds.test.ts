/** A guest decides how much there is to read of it. Reading is bounded by work, not by depth, and gives way while it lasts. */
import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../src/core/error.ts';
import { Btf } from '../../src/linux/btf/btf.ts';
import { structureOf } from '../../src/linux/btf/structure.ts';
import { openLinux } from '../../src/linux/linux-guest.ts';
import { BtfWriter, type MemberPlan } from './btf-writer.ts';
import { MadeKernel } from './made-kernel.ts';

const MANY = 200_000;

/** A structure of unnamed structures, each of which has so many members of the one below it. */
function nested(depth: number, width: number): Btf {
  const writer = new BtfWriter();
  let type = writer.structure('', 8, [{ name: 'leaf', type: writer.int('int', 4), offset: 0 }]);
  for (let level = 0; level < depth; level++) {
    const members = Array.from({ length: width }, (_, index): MemberPlan => ({ name: '', type, offset: index }));
    type = writer.structure(level === depth - 1 ? 'outer' : '', 8, members);
  }
  return new Btf(writer.bytes());
}

describe('types', () => {
  test.each([
    ['30 levels of 2', 30, 2],
    ['2 levels of 60,000', 2, 60_000],
    ['a chain of 10,000', 10_000, 1],
  ])('nested without a name: %s', (_what, depth, width) => {
    expect(() => structureOf(nested(depth, width), 'outer')).toThrow(/more than 4096 members in outer/);
  });

  test('as deep as kernels have them', () => {
    expect(structureOf(nested(8, 2), 'outer')?.members.size).toBe(1);
  });

  test('a structure within itself', () => {
    const writer = new BtfWriter();
    writer.structure('outer', 8, [{ name: '', type: 1, offset: 0 }]);
    expect(() => structureOf(new Btf(writer.bytes()), 'outer')).toThrow(PtmonError);
  });

  test('a name without an end', () => {
    const writer = new BtfWriter();
    writer.structure('x'.repeat(100_000), 8, []);
    expect(() => new Btf(writer.bytes())).toThrow(/name of more than 512 bytes/);
  });

  test('a tree whose nodes have more slots than memory', async () => {
    const made = new MadeKernel({ btf: (real) => withLongArrays(real) });
    made.makeProcess({ pid: 1, comm: 'init', areas: [{ start: 0x1000n, end: 0x2000n }] });
    const linux = await openLinux(made.source());
    await expect(linux.map(1)).rejects.toThrow(/4294967295 elements in maple_range_64/);
  });
});

/** Every array as long as a word can tell. */
function withLongArrays(btf: Uint8Array): Uint8Array {
  const changed = btf.slice();
  const real = new Btf(btf);
  const view = new DataView(changed.buffer);
  for (let type = 1; type < real.typeCount; type++) {
    if (real.kindOf(type) === 3) view.setUint32(real.placeOf(type) + 20, 0xffff_ffff, true);
  }
  return changed;
}

/** A list of processes with so many nodes, none of which is a process; or of areas of the first process. */
function withManyNodes(): MadeKernel {
  const made = new MadeKernel();
  made.makeProcess({ pid: 1, comm: 'init', areas: [{ start: 0x1000n, end: 0x2000n }] });
  const head = made.initTask + made.at('task_struct.tasks');
  const first = made.make(MANY * 16);
  for (let node = 0; node < MANY; node++) {
    const at = first + BigInt(node * 16);
    made.put(at, node === MANY - 1 ? head : at + 16n);
  }
  made.put(made.get(head + 8n), first);
  made.put(head + 8n, first + BigInt((MANY - 1) * 16));
  return made;
}

describe(`a list of ${MANY} nodes`, () => {
  test('is read, and its faults are as many as a reader can use', { timeout: 60_000 }, async () => {
    const linux = await openLinux(withManyNodes().source());
    const { processes, faults } = await linux.processes();
    expect(processes.map(({ pid }) => pid)).toContain(1);
    expect(faults.length).toBe(101);
    expect(faults.at(-1)).toMatch(/^\d+ more faults, not listed$/);
  });

  test('gives way: an abort ends the reading', { timeout: 60_000 }, async () => {
    const over = new AbortController();
    const linux = await openLinux(withManyNodes().source(), { signal: over.signal });
    const reading = linux.processes();
    setTimeout(() => over.abort(new Error('enough')), 1);
    await expect(reading).rejects.toThrow('enough');
  });
});

test('page tables that fan out: counting them gives way', { timeout: 60_000 }, async () => {
  const over = new AbortController();
  const made = new MadeKernel();
  const { root } = made.makeProcess({ pid: 1, comm: 'init', areas: [{ start: 0x1000n, end: 0x7fff_ffff_f000n }] });
  // 512 tables whose entries lead to all of them.
  for (let table = 0; table < 512; table++) made.memory.addPage(0x1000 + table);
  for (let slot = 0; slot < 256; slot++) made.memory.writeU64(root + slot * 8, 0x100_0067 + slot * 4096, 0);
  for (let table = 0; table < 512; table++) {
    for (let slot = 0; slot < 512; slot++) {
      made.memory.writeU64(0x100_0000 + table * 4096 + slot * 8, 0x100_0067 + ((table * 7 + slot) % 512) * 4096, 0);
    }
  }
  const linux = await openLinux(made.source(), { signal: over.signal });
  const reading = linux.map(1);
  setTimeout(() => over.abort(new Error('enough')), 1);
  await expect(reading).rejects.toThrow('enough');
});
