import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../src/core/error.ts';
import { PageCache } from '../../src/core/memory/page-cache.ts';
import { mappedRanges } from '../../src/core/paging/enumerate.ts';
import type { Progress } from '../../src/driver/pacer.ts';
import { type AddressRange, listRanges, type RangeOptions, RangeTotals } from '../../src/snapshot/index.ts';
import { Watched } from '../core/paging/enumerated.ts';
import { hex } from '../core/paging/machine.ts';
import { all, LARGE, NO_EXECUTE, PRESENT, SpaceBuilder, USER, WRITABLE } from './space.ts';

const KIB = 1024n;
const MIB = 1024n * KIB;
const READ = PRESENT | USER;
const CODE = PRESENT | USER;

/** `va+length rights sizes pa×runs`. */
function line({ va, byteLength, rights, sizes, pa, runs, repeats }: AddressRange): string {
  const letters = `${rights.writable ? 'w' : '-'}${rights.noExecute ? '-' : 'x'}${rights.user ? 'u' : '-'}`;
  const pages = sizes.map(({ pageSize, byteLength: part }) => `${part / pageSize}×${pageSize / 1024}K`).join('+');
  return `${hex(va)}+${hex(byteLength)} ${letters} ${pages} ${hex(pa)}${repeats ? ' each' : ` in ${runs}`}`;
}

const lines = async (builder: SpaceBuilder, options?: RangeOptions) =>
  (await all(listRanges(builder.snapshot(), builder.space, options))).map(line);

/** Code, data, more data elsewhere, and a large page behind it. */
function program(): SpaceBuilder {
  const builder = new SpaceBuilder();
  builder.map(0x40_0000n, 2, 0x1000n, CODE).map(0x40_2000n, 3, 0x8000n, PRESENT | WRITABLE | USER | NO_EXECUTE);
  builder.map(0x40_5000n, 1, 0x20000n, PRESENT | WRITABLE | USER | NO_EXECUTE);
  builder.map(0x7f_ffff_f000n, 1, 0x5000n, PRESENT | WRITABLE | USER);
  builder.put(0x80_0000_0000n, 2, 0x4000_0000n | LARGE | PRESENT | WRITABLE | USER);
  builder.map(0xffff_8000_0000_0000n, 4, 0n, PRESENT | WRITABLE);
  return builder;
}

describe('listRanges', () => {
  test('merges what has the same rights, whatever maps it', async () => {
    expect(await lines(program())).toEqual([
      '0x400000+0x2000 -xu 2×4K 0x1000 in 1',
      '0x402000+0x4000 w-u 4×4K 0x8000 in 2',
      '0x7ffffff000+0x201000 wxu 1×4K+1×2048K 0x5000 in 2',
      '0xffff800000000000+0x4000 wx- 4×4K 0x0 in 1',
    ]);
  });

  test('by runs of physical memory, page sizes do not matter', async () => {
    const builder = new SpaceBuilder();
    builder.map(0x1f_f000n, 1, 0x3fff_f000n).put(0x20_0000n, 2, 0x4000_0000n | LARGE | READ | WRITABLE);
    builder.map(0x40_0000n, 1, 0x4020_0000n).map(0x40_1000n, 1, 0x1000n);
    expect(await lines(builder, { by: 'runs' })).toEqual([
      '0x1ff000+0x202000 wxu 2×4K+1×2048K 0x3ffff000 in 1',
      '0x401000+0x1000 wxu 1×4K 0x1000 in 1',
    ]);
  });

  test.each<[name: string, options: RangeOptions, expected: number[]]>([
    ['what is writable and executable', { filter: { writable: true, executable: true } }, [2, 3]],
    ['what the kernel alone may touch', { filter: { user: false } }, [3]],
    ['what user mode may not write', { filter: { user: true, writable: false } }, [0]],
    ['what is not executable', { filter: { executable: false } }, [1]],
    ['large ranges', { filter: { minByteLength: 0x4000 } }, [1, 2, 3]],
    ['small ranges', { filter: { maxByteLength: 0x2000 } }, [0]],
    ['addresses', { from: 0x40_0000n, to: 0x40_2000n }, [0]],
    ['nothing', { filter: { user: false, executable: false } }, []],
  ])('only %s', async (_name, options, expected) => {
    const whole = await lines(program());
    expect(await lines(program(), options)).toEqual(expected.map((index) => whole[index]));
  });

  test('only pages of a size, and only what leads to some frames', async () => {
    expect(await lines(program(), { filter: { pageSizes: [2 ** 21] } })).toEqual([
      '0x8000000000+0x200000 wxu 1×2048K 0x40000000 in 1',
    ]);
    const physical = (pa: number, byteLength: number) =>
      ({ by: 'runs', filter: { physical: { pa, byteLength } } }) as const;
    expect(await lines(program(), physical(0x1fff, 1))).toEqual([
      '0x400000+0x1000 -xu 1×4K 0x1000 in 1',
      '0xffff800000001000+0x1000 wx- 1×4K 0x1000 in 1',
    ]);
    expect(await lines(program(), physical(0x400f_f123, 0x1000))).toEqual([
      '0x80000ff000+0x2000 wxu 0.00390625×2048K 0x400ff000 in 1',
    ]);
    expect(await lines(program(), physical(0x9_9000, 0x1000))).toEqual([]);
  });

  test('cuts at bounds that are within pages', async () => {
    expect(await lines(program(), { from: 0x80_0010_0fffn, to: 0x80_0010_2001n })).toEqual([
      '0x8000100000+0x3000 wxu 0.005859375×2048K 0x40100000 in 1',
    ]);
  });

  test('counts', async () => {
    const totals = new RangeTotals();
    for await (const range of listRanges(program().snapshot(), program().space)) totals.add(range);
    expect(totals.sums).toEqual({
      ranges: 4,
      runs: 6,
      byteLength: 0x2000 + 0x4000 + 0x20_1000 + 0x4000,
      sizes: [
        { pageSize: 2 ** 12, byteLength: 11 * 4096 },
        { pageSize: 2 ** 21, byteLength: 2 ** 21 },
      ],
      user: 0x20_7000,
      writable: 0x20_9000,
      executable: 0x20_7000,
      writableExecutable: 0x20_5000,
    });
  });
});

describe('tables that are met again and again', () => {
  /** As with KASAN: 8 TiB of shadow, every page of which is the one page of zeroes. */
  function shadow(): { builder: SpaceBuilder; watched: Watched } {
    const builder = new SpaceBuilder();
    const [pageTable, directory, pointers] = [builder.newTable(), builder.newTable(), builder.newTable()];
    for (let slot = 0n; slot < 512n; slot++) {
      builder.machine.put(pageTable + slot * 8n, 0x7000n | PRESENT | NO_EXECUTE);
      builder.machine.put(directory + slot * 8n, pageTable | PRESENT | WRITABLE);
      builder.machine.put(pointers + slot * 8n, directory | PRESENT | WRITABLE);
    }
    for (let slot = 472n; slot < 488n; slot++)
      builder.machine.put(builder.root + slot * 8n, pointers | PRESENT | WRITABLE);
    builder.map(0xffff_f400_0000_0000n, 1, 0x9000n);
    return { builder, watched: new Watched(builder.machine) };
  }

  test('are looked through once', async () => {
    const { builder, watched } = shadow();
    const ranges = await all(listRanges({ ...builder.snapshot(), memory: watched }, builder.space));
    expect(ranges.map(line)).toEqual([
      `0xffffec0000000000+${hex(16n << 39n)} --- ${2 ** 31}×4K 0x7000 each`,
      '0xfffff40000000000+0x1000 wxu 1×4K 0x9000 in 1',
    ]);
    expect(watched.reads).toBeLessThan(8 * 512);
  });

  test('the addresses of one frame are one answer', async () => {
    const { builder } = shadow();
    const options = { by: 'runs', filter: { physical: { pa: 0x7123, byteLength: 1 } } } as const;
    expect((await lines(builder, options))[0]).toBe(
      `0xffffec0000000000+${hex(16n << 39n)} --- ${2 ** 31}×4K 0x7000 each`,
    );
  });

  test('rights of the entries above count each time', async () => {
    const { builder } = shadow();
    const entry = builder.machine.read(builder.root + 472n * 8n, 8)!;
    builder.machine.put(builder.root + 480n * 8n, (entry & ~WRITABLE) | USER);
    builder.machine.put(builder.root + 481n * 8n, entry | NO_EXECUTE);
    // Whoever may write above may not write below, so that all have the same rights.
    expect((await lines(builder)).length).toBe(2);
    const pageTable = builder.tableFor(0xffff_ec00_0000_0000n, 1);
    for (let slot = 0n; slot < 512n; slot++) builder.machine.put(pageTable + slot * 8n, 0x7000n | PRESENT | WRITABLE);
    expect(await lines(builder)).toEqual([
      `0xffffec0000000000+${hex(8n << 39n)} wx- ${2 ** 30}×4K 0x7000 each`,
      `0xfffff00000000000+${hex(1n << 39n)} -x- ${2 ** 27}×4K 0x7000 each`,
      `0xfffff08000000000+${hex(1n << 39n)} w-- ${2 ** 27}×4K 0x7000 each`,
      `0xfffff10000000000+${hex(6n << 39n)} wx- ${6 * 2 ** 27}×4K 0x7000 each`,
      '0xfffff40000000000+0x1000 wxu 1×4K 0x9000 in 1',
    ]);
  });

  test('that lead nowhere cost next to nothing', async () => {
    const builder = new SpaceBuilder();
    const tables = [builder.root, builder.newTable(), builder.newTable(), builder.newTable()];
    for (const [at, table] of tables.slice(0, 3).entries()) {
      for (let slot = 0n; slot < 512n; slot++) builder.machine.put(table + slot * 8n, tables[at + 1]! | PRESENT);
    }
    const watched = new Watched(builder.machine);
    expect(await all(listRanges({ ...builder.snapshot(), memory: watched }, builder.space))).toEqual([]);
    expect(watched.reads).toBe(4 * 512);
  });

  test('that lead to each other end in an error', async () => {
    const builder = new SpaceBuilder();
    for (let slot = 0n; slot < 512n; slot += 2n) builder.machine.put(builder.root + slot * 8n, builder.root | PRESENT);
    const going = all(listRanges(builder.snapshot(), builder.space, { maxRepeats: 100 }));
    await expect(going).rejects.toMatchObject({ code: 'corrupt-input', facts: { root: Number(builder.root) } });
    await expect(going).rejects.toThrow(/lead to each other more than 100 times/);
  });
});

describe('as a library call', () => {
  /** Many tables, so that it takes a while. */
  function large(): SpaceBuilder {
    const builder = new SpaceBuilder();
    for (let at = 0n; at < 400n; at++) {
      for (let page = 0n; page < 512n; page += 2n) builder.put(at * 2n * MIB + page * 4n * KIB, 1, 0x1000n | READ);
    }
    return builder;
  }

  test('it says how far it is, and can be broken off', async () => {
    const said: Progress[] = [];
    const builder = large();
    const stop = new AbortController();
    const reason = new Error('enough');
    const going = all(
      listRanges(builder.snapshot(), builder.space, {
        signal: stop.signal,
        onProgress: (progress) => {
          said.push(progress);
          if (said.length === 2) stop.abort(reason);
        },
      }),
    );
    await expect(going).rejects.toBe(reason);
    expect(said[0]).toMatchObject({ what: 'going through page tables', unit: 'pages' });
    expect(said[1]!.done).toBeGreaterThan(said[0]!.done);
  });

  test('it fetches what is not here, and says the same', async () => {
    const builder = program();
    const cache = new PageCache({ maxPages: 4 });
    let fetches = 0;
    const remote = {
      fetch: async (addresses: readonly number[]) => {
        fetches++;
        for (const pa of addresses) {
          const page = builder.machine.memory.page(Math.floor(pa / 4096));
          cache.put(Math.floor(pa / 4096), page === undefined ? null : new Uint8Array(page.buffer));
        }
      },
    };
    const ranges = await all(listRanges({ ...builder.snapshot(), memory: cache, remote }, builder.space));
    expect(ranges.map(line)).toEqual(await lines(program()));
    expect(fetches).toBeGreaterThan(3);
  });

  test('a source that fails is told', async () => {
    const builder = program();
    const memory = {
      readEntry: () => {
        throw new PtmonError('read-failed', 'the disk is gone');
      },
    };
    await expect(all(listRanges({ ...builder.snapshot(), memory }, builder.space))).rejects.toThrow('the disk is gone');
  });

  test('its runs are those that are enumerated otherwise', async () => {
    const builder = program();
    const plain = [...mappedRanges(builder.machine.paging, builder.machine.memory, builder.root)];
    const total = plain.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const ranges = await all(listRanges(builder.snapshot(), builder.space, { by: 'runs' }));
    expect(ranges.reduce((sum, { byteLength }) => sum + byteLength, 0)).toBe(total);
  });
});
