import { describe, expect, test } from 'vitest';
import { walk } from '../../src/core/paging/walk.ts';
import { type CompareOptions, compareSpaces, type Difference } from '../../src/snapshot/index.ts';
import { hex } from '../core/paging/machine.ts';
import { Random } from '../oracle/random.ts';
import { all, LARGE, NO_EXECUTE, PRESENT, SpaceBuilder, USER, WRITABLE } from './space.ts';

const VA = 0x7000_0000_0000n;
const DATA = PRESENT | WRITABLE | USER | NO_EXECUTE;

function line(difference: Difference): string {
  const { kind, va, pages, pa, runs, pageSize } = difference;
  const moved = 'moved' in difference && difference.moved ? ' moved' : '';
  const more = difference.kind === 'restructure' ? ` from ${difference.oldPageSize / 1024}K` : '';
  return `${kind} ${hex(va)}×${pages} ${hex(pa)} in ${runs} ${pageSize / 1024}K${more}${moved}`;
}

async function differences(a: SpaceBuilder, b: SpaceBuilder, options?: CompareOptions): Promise<string[]> {
  return (await all(compareSpaces(a.compared, b.compared, options))).map(line);
}

const base = () => new SpaceBuilder().map(VA, 16, 0x10_0000n, DATA).map(VA + 0x10_0000n, 4, 0x1000n, DATA);

describe('compareSpaces', () => {
  test('two that map the same do not differ, however their tables lie', async () => {
    const other = new SpaceBuilder();
    for (let table = 0; table < 5; table++) other.newTable();
    other.map(VA + 0x10_0000n, 4, 0x1000n, DATA).map(VA, 16, 0x10_0000n, DATA | 0x60n);
    expect(await differences(base(), other)).toEqual([]);
  });

  test.each<[name: string, change: (after: SpaceBuilder) => void, expected: string[]]>([
    ['paged in', (b) => b.map(VA + 0x20_0000n, 3, 0x5000n, DATA), ['page-in 0x700000200000×3 0x5000 in 1 4K']],
    ['paged out', (b) => b.unmap(VA + 0x2000n, 2), ['page-out 0x700000002000×2 0x102000 in 1 4K']],
    [
      'moved',
      (b) => b.map(VA + 0x1000n, 2, 0x9000n, DATA),
      ['page-out 0x700000001000×2 0x101000 in 1 4K moved', 'page-in 0x700000001000×2 0x9000 in 1 4K moved'],
    ],
    [
      'with other rights',
      (b) => b.map(VA + 0x3000n, 2, 0x10_3000n, PRESENT | USER),
      ['protection 0x700000003000×2 0x103000 in 1 4K'],
    ],
    [
      'moved, and with other rights, which the page-in says',
      (b) => b.map(VA, 1, 0x9000n, PRESENT | USER),
      ['page-out 0x700000000000×1 0x100000 in 1 4K moved', 'page-in 0x700000000000×1 0x9000 in 1 4K moved'],
    ],
    [
      'two neighbours that changed differently',
      (b) =>
        b
          .unmap(VA, 1)
          .map(VA + 0x1000n, 1, 0x9000n, DATA)
          .map(VA + 0x2000n, 1, 0x10_2000n, PRESENT),
      [
        'page-out 0x700000000000×1 0x100000 in 1 4K',
        'page-out 0x700000001000×1 0x101000 in 1 4K moved',
        'page-in 0x700000001000×1 0x9000 in 1 4K moved',
        'protection 0x700000002000×1 0x102000 in 1 4K',
      ],
    ],
  ])('%s', async (_name, change, expected) => {
    const after = base();
    change(after);
    expect(await differences(base(), after)).toEqual(expected);
    // The other way round there is as much to tell.
    expect((await differences(after, base())).length).toBe(expected.length);
  });

  test('a large page that was split with the same frames is another page size', async () => {
    const large = new SpaceBuilder();
    large.put(VA, 2, 0x4000_0000n | LARGE | DATA);
    const small = new SpaceBuilder().map(VA, 512, 0x4000_0000n, DATA);
    expect(await differences(large, small)).toEqual(['restructure 0x700000000000×512 0x40000000 in 1 4K from 2048K']);
    small.unmap(VA + 0x5000n, 1).map(VA + 0x6000n, 1, 0x4000_6000n, DATA & ~WRITABLE);
    expect(await differences(large, small)).toEqual([
      'restructure 0x700000000000×5 0x40000000 in 1 4K from 2048K',
      'page-out 0x700000005000×1 0x40005000 in 1 2048K',
      'restructure 0x700000006000×1 0x40006000 in 1 4K from 2048K',
      'protection 0x700000006000×1 0x40006000 in 1 4K',
      'restructure 0x700000007000×505 0x40007000 in 1 4K from 2048K',
    ]);
  });

  test('frames that do not follow each other are one change, several runs, and a line each page by page', async () => {
    const after = base();
    for (const [page, pa] of [0x9000n, 0x3000n, 0x4000n].entries())
      after.map(VA + 0x20_0000n + BigInt(page) * 4096n, 1, pa, DATA);
    expect(await differences(base(), after)).toEqual(['page-in 0x700000200000×3 0x9000 in 2 4K']);
    expect(await differences(base(), after, { by: 'runs' })).toEqual([
      'page-in 0x700000200000×1 0x9000 in 1 4K',
      'page-in 0x700000201000×2 0x3000 in 1 4K',
    ]);
    expect(await differences(base(), after, { by: 'pages' })).toEqual([
      'page-in 0x700000200000×1 0x9000 in 1 4K',
      'page-in 0x700000201000×1 0x3000 in 1 4K',
      'page-in 0x700000202000×1 0x4000 in 1 4K',
    ]);
    expect(await differences(base(), after, { from: VA, to: VA + 0x20_1000n })).toEqual([
      'page-in 0x700000200000×1 0x9000 in 1 4K',
    ]);
  });

  test('one frame for all pages, before or after', async () => {
    const zeroes = new SpaceBuilder();
    const follow = new SpaceBuilder().map(VA, 8, 0x1000n, DATA);
    for (let page = 0n; page < 8n; page++) zeroes.map(VA + page * 4096n, 1, 0x4000n, DATA);
    expect(await differences(zeroes, follow)).toEqual([
      'page-out 0x700000000000×3 0x4000 in 1 4K moved',
      'page-in 0x700000000000×3 0x1000 in 1 4K moved',
      'page-out 0x700000004000×4 0x4000 in 1 4K moved',
      'page-in 0x700000004000×4 0x5000 in 1 4K moved',
    ]);
  });

  test('a process that is gone', async () => {
    expect(await differences(base(), new SpaceBuilder())).toEqual([
      'page-out 0x700000000000×16 0x100000 in 1 4K',
      'page-out 0x700000100000×4 0x1000 in 1 4K',
    ]);
    expect(await differences(new SpaceBuilder(), new SpaceBuilder())).toEqual([]);
  });
});

test('page by page it is what two walks say, for random spaces', async () => {
  const random = new Random(6);
  const flags = [DATA, DATA, PRESENT | USER, PRESENT | WRITABLE];
  for (let round = 0; round < 30; round++) {
    const [a, b] = [new SpaceBuilder(), new SpaceBuilder()];
    for (const builder of [a, b]) {
      for (let step = 0; step < 12; step++) {
        const va = VA + BigInt(random.below(600)) * 4096n;
        // A few frames only, so that the same pages are often mapped to the same ones.
        const pa = BigInt(random.below(3)) * 4096n + (random.below(2) === 0 ? va - VA : 0n);
        const pages = 1 + random.below(20);
        const flag = flags[random.below(flags.length)]!;
        if (random.below(5) === 0)
          for (let page = 0n; page < pages; page++) builder.map(va + page * 4096n, 1, pa, flag);
        else builder.map(va, pages, pa, flag);
      }
    }
    const expected: string[] = [];
    for (let page = 0n; page < 640n; page++) {
      const va = VA + page * 4096n;
      const [was, is] = [a, b].map(({ machine, root }) => walk(machine.paging, machine.memory, root, va)) as [
        ReturnType<typeof walk>,
        ReturnType<typeof walk>,
      ];
      const [before, after] = [was, is].map((each) => (each.translates ? each : undefined));
      const moved = before !== undefined && after !== undefined && before.pa !== after.pa;
      const say = (kind: string, pa: number, suffix = '') =>
        expected.push(`${kind} ${hex(va)}×1 ${hex(pa)} in 1 4K${suffix}`);
      if (before && (!after || moved)) say('page-out', before.pa, moved ? ' moved' : '');
      if (after && (!before || moved)) say('page-in', after.pa, moved ? ' moved' : '');
      if (before && after && !moved && JSON.stringify(before.rights) !== JSON.stringify(after.rights))
        say('protection', after.pa);
    }
    expect(await differences(a, b, { by: 'pages' }), `round ${round}`).toEqual(expected);
    const merged = await all(compareSpaces(a.compared, b.compared));
    const pages = (kind: string) =>
      merged.filter((each) => each.kind === kind).reduce((sum, each) => sum + each.pages, 0);
    for (const kind of ['page-in', 'page-out', 'protection']) {
      expect(pages(kind)).toBe(expected.filter((each) => each.startsWith(`${kind} `)).length);
    }
  }
});

test('can be broken off among the pages of one large stretch', async () => {
  const [a, b] = [new SpaceBuilder(), new SpaceBuilder()];
  for (let page = 0n; page < 512n; page++) b.put(page << 30n, 3, (page << 30n) | LARGE | PRESENT);
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(new Error('stop')), 30);
  const count = async () => {
    let pages = 0;
    for await (const _ of compareSpaces(a.compared, b.compared, { by: 'pages', signal: stop.signal })) pages++;
    return pages;
  };
  await expect(count()).rejects.toThrow('stop');
  clearTimeout(timer);
});
