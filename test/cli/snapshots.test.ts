/** The commands that look at a snapshot, on dumps and on a live guest: what they print, and what they refuse. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { COMMANDS } from '../../src/cli/commands/index.ts';
import { runProgram } from '../../src/cli/program.ts';
import { dumpFile, elfDump, kdumpDump, notesOf, PAGE } from '../drivers/dump/write-dump.ts';
import { LARGE, NO_EXECUTE, PRESENT, SpaceBuilder, USER, WRITABLE } from '../snapshot/space.ts';
import { Recorder } from '../sinks/examples.ts';
import { parse, run } from './run.ts';
import { startVm } from './scripted-vm.ts';
import { dumpOf, framesOf } from './space-dump.ts';

const VA = 0x40_0000n;
const DATA = PRESENT | WRITABLE | USER | NO_EXECUTE;

function program(): SpaceBuilder {
  const builder = new SpaceBuilder();
  builder
    .map(VA, 2, 0x1000n, PRESENT | USER)
    .map(VA + 0x2000n, 2, 0x8000n, DATA)
    .map(VA + 0x4000n, 1, 0x2000n, DATA);
  builder.put(0xffff_8880_0000_0000n, 2, LARGE | PRESENT | WRITABLE);
  return builder;
}

describe('ptmon map', () => {
  const [head] = ['start              end                   size  rights  pages    physical                    name'];

  test.each([
    ['an ELF core', elfDump],
    ['a kdump', kdumpDump],
  ] as const)('prints ranges and totals of %s', async (_name, make) => {
    const path = dumpOf(program(), make);
    const { code, stdout, stderr } = await run(['map', path]);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `${head}
0x400000           0x402000                8K  r-xu    4K       0x1000
0x402000           0x405000               12K  rw-u    4K       0x8000 and 1 more run
0xffff888000000000 0xffff888000200000      2M  rwx-    2M       0x0

3 ranges, 4 physical runs: 2.0M (20K by 4K, 2M by 2M); user 20K, writable 2.0M, executable 2.0M, both 2M
`,
    });
    expect(stderr).toMatch(/; 1 vCPU\n$/);
  });

  test.each<[options: string[], starts: string[]]>([
    [['--wx'], ['0xffff888000000000']],
    [['--user'], ['0x400000', '0x402000']],
    [['--supervisor'], ['0xffff888000000000']],
    [['--user', '--read-only'], ['0x400000']],
    [['--executable', '--max-size', '8K'], ['0x400000']],
    [['--data', '--min-size', '0x3000'], ['0x402000']],
    [['--writable', '--page-size', '4K,1G'], ['0x402000']],
    [['--va', '0x400000-0x401001'], ['0x400000']],
    [['--va', '0x403000+1M'], ['0x403000']],
    [
      ['--find-pa', '0x8fff'],
      ['0x402000', '0xffff888000008000'],
    ],
    [
      ['--runs', '--data'],
      ['0x402000', '0x404000'],
    ],
    [['--va', '0x0'], []],
  ])('%j', async (options, starts) => {
    const { code, stdout } = await run(['map', dumpOf(program()), '--json', ...options]);
    const lines = parse(stdout);
    expect({ code, starts: lines.slice(1, -1).map(({ va }) => va) }).toEqual({ code: 0, starts });
    expect(lines[0]).toMatchObject({ kind: 'map', mode: '4-level', isGuess: false });
    expect(lines.at(-1)).toMatchObject({ kind: 'totals', ranges: starts.length });
  });

  test('as JSON and as CSV it says all of a range', async () => {
    const path = dumpOf(program());
    expect(parse((await run(['map', path, '--json'])).stdout)[2]).toEqual({
      v: 1,
      kind: 'range',
      va: '0x402000',
      end: '0x405000',
      pages: 3,
      rights: { writable: true, user: true, noExecute: true, protectionKey: 0 },
      sizes: [{ pageSize: 4096, pages: 3 }],
      pa: '0x8000',
      runs: 2,
    });
    expect((await run(['map', path, '--csv', '--user'])).stdout.split('\r\n')).toEqual([
      'start,end,bytes,writable,user,executable,protection_key,page_sizes,physical,runs,repeats,names',
      '0x400000,0x402000,8192,false,true,true,0,4096,0x1000,1,false,',
      '0x402000,0x405000,12288,true,true,false,0,4096,0x8000,2,false,',
      '',
    ]);
  });

  test('of a live guest, which runs on', async () => {
    const vm = await startVm();
    const { code, stdout } = await run(['map', '--qmp', vm.qmp, '--gdb', vm.gdb]);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `${head}
0x7f1234567000     0x7f1234568000          4K  rw-u    4K       0x123000
0xffff888000000000 0xffff888000200000      2M  rw--    2M       0x0

2 ranges, 2 physical runs: 2.0M (4K by 4K, 2M by 2M); user 4K, writable 2.0M, executable 0B, both 0B
`,
    });
    expect(vm.state()).toBe('running');
  });

  test('of a live guest without a gdbstub: says how it can be read all the same', async () => {
    const vm = await startVm();
    const { code, stderr } = await run(['map', '--qmp', vm.qmp]);
    expect([code, vm.state()]).toEqual([3, 'running']);
    expect(stderr).toContain(
      'give --gdb, or stop the guest first; with --consistent, ps, maps, map and dump read a running guest',
    );
  });

  test('the last page of all ends at 0x0', async () => {
    const builder = new SpaceBuilder().map(0xffff_ffff_ffff_f000n, 1, 0x1000n);
    const { stdout } = await run(['map', dumpOf(builder)]);
    expect(stdout).toContain('\n0xfffffffffffff000 0x0');
  });
});

const HEADING = '  start                 size  pages  rights  physical\n';

describe('ptmon diff', () => {
  const after = () =>
    program()
      .map(VA + 0x3000n, 2, 0x6000n, DATA)
      .unmap(VA, 1);

  test('says what differs, and exits with 1', async () => {
    const { code, stdout } = await run(['diff', dumpOf(program()), dumpOf(after())]);
    expect({ code, stdout }).toEqual({
      code: 1,
      stdout: `${HEADING}- 0x400000                4K  4K     r-xu    0x1000
- 0x403000                8K  4K     rw-u    0x9000 and 1 more run  moved
+ 0x403000                8K  4K     rw-u    0x6000  moved

pages of 4K: 1 paged out, 2 moved
`,
    });
  });

  test('pages that moved are differences, whichever half of it is asked for', async () => {
    const moved = program().map(VA + 0x3000n, 2, 0x6000n, DATA);
    const [out, back] = [
      '- 0x403000                8K  4K     rw-u    0x9000 and 1 more run',
      '+ 0x403000                8K  4K     rw-u    0x6000',
    ];
    for (const [kinds, lines] of [
      ['page-out', [out]],
      ['page-in', [back]],
      ['page-in,page-out', [out, back]],
    ] as const) {
      const { code, stdout } = await run(['diff', '--kinds', kinds, dumpOf(program()), dumpOf(moved)]);
      const told = lines.map((line) => `${line}  moved\n`).join('');
      expect({ code, stdout }).toEqual({ code: 1, stdout: `${HEADING}${told}\npages of 4K: 2 moved\n` });
    }
  });

  test('says that nothing differs, and exits with 0', async () => {
    const { code, stdout } = await run(['diff', dumpOf(program()), dumpOf(program(), kdumpDump)]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'no differences\n' });
  });

  test('page by page, as JSON, with the words of events', async () => {
    const { code, stdout } = await run(['diff', '--pages', '--json', dumpOf(program()), dumpOf(after())]);
    const lines = parse(stdout);
    expect({ code, kinds: lines.map(({ kind, va, pa }) => [kind, va, pa]) }).toEqual({
      code: 1,
      kinds: [
        ['page-out', '0x400000', '0x1000'],
        ['page-out', '0x403000', '0x9000'],
        ['page-in', '0x403000', '0x6000'],
        ['page-out', '0x404000', '0x2000'],
        ['page-in', '0x404000', '0x7000'],
        ['totals', undefined, undefined],
      ],
    });
    expect(lines.at(-1)).toMatchObject({ pages: { pageIn: 0, pageOut: 1, moved: 2, protection: 0, restructure: 0 } });
  });

  test.each([
    [['--kinds', 'page-in'], ['page-in 0x403000']],
    [['--va', '0x400000'], ['page-out 0x400000']],
    [
      ['--runs', '--kinds', 'page-out'],
      ['page-out 0x400000', 'page-out 0x403000', 'page-out 0x404000'],
    ],
  ])('%j', async (options, expected) => {
    const { stdout } = await run(['diff', '--json', ...options, dumpOf(program()), dumpOf(after())]);
    expect(
      parse(stdout)
        .slice(0, -1)
        .map(({ kind, va }) => `${String(kind)} ${String(va)}`),
    ).toEqual(expected);
  });

  test('compares a dump with a live guest, which runs on', async () => {
    const vm = await startVm();
    const builder = new SpaceBuilder();
    builder.put(0xffff_8880_0000_0000n, 2, LARGE | PRESENT | WRITABLE | NO_EXECUTE);
    const { code, stdout, stderr } = await run(['diff', dumpOf(builder), '--qmp', vm.qmp, '--gdb', vm.gdb]);
    expect(stdout).toBe(`${HEADING}+ 0x7f1234567000          4K  4K     rw-u    0x123000\n\npages of 4K: 1 paged in\n`);
    expect(stderr).toContain('the roots differ: root 0x100000 (CR3 of vCPU 0), 4-level paging; root 0x41000');
    expect({ code, state: vm.state() }).toEqual({ code: 1, state: 'running' });
  });

  test('compares raw memory, of which a map tells, with a live guest', async () => {
    const vm = await startVm();
    const raw = ['--ram-map', '0x0+2M@0', '--root', '0x41000', '--paging', '4-level'];
    const args = ['diff', dumpFile(Buffer.alloc(2 ** 21)), ...raw, '--va', '0x7f1234567000'];
    const { code, stdout } = await run([...args, '--qmp', vm.qmp, '--gdb', vm.gdb]);
    expect({ code, stdout }).toEqual({
      code: 1,
      stdout: `${HEADING}+ 0x7f1234567000          4K  4K     rw-u    0x123000\n\npages of 4K: 1 paged in\n`,
    });
  });

  test('tells the shell of a difference, also where the reader has gone that saw it', async () => {
    const [empty, full] = [new SpaceBuilder(), new SpaceBuilder()];
    for (let page = 0n; page < 512n; page++) full.put(page << 30n, 3, (page << 30n) | LARGE | PRESENT);
    const stdout = new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error('nobody reads'), { code: 'EPIPE' })),
    });
    const stderr = new Recorder();
    const code = await runProgram(['diff', dumpOf(empty), dumpOf(full), '--pages'], { stdout, stderr });
    expect({ code, stderr: stderr.text }).toEqual({ code: 1, stderr: '' });
  });

  test('names the one of which the tables lead to each other', async () => {
    const loop = new SpaceBuilder();
    for (let slot = 1n; slot < 512n; slot++) loop.machine.put(loop.root + slot * 8n, loop.root | PRESENT);
    const [sound, broken] = [dumpOf(program()), dumpOf(loop)];
    for (const dumps of [
      [sound, broken],
      [broken, sound],
    ]) {
      const { code, stderr } = await run(['diff', ...dumps, '--kinds', 'protection']);
      expect({ code, stderr }).toEqual({
        code: 4,
        stderr: expect.stringMatching(
          new RegExp(
            `^((going through|comparing).*\\n)*ptmon: ${broken}: ELF core.*: the tables of root .* lead to each other`,
          ),
        ),
      });
      expect(stderr).not.toContain(sound);
    }
  });
});

describe('ptmon roots', () => {
  const raw = (builder: SpaceBuilder) => {
    const frames = framesOf(builder);
    const { byteLength } = builder.snapshot().regions[0]!;
    return dumpFile(
      Buffer.concat(Array.from({ length: byteLength / PAGE }, (_, gfn) => frames.get(gfn) ?? Buffer.alloc(PAGE))),
    );
  };
  const kernel = () => new SpaceBuilder().map(0xffff_8880_0000_0000n, 300, 0n, PRESENT | WRITABLE);

  test('lists what it finds, how sure it is, and why', async () => {
    const { code, stdout } = await run(['roots', raw(kernel())]);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `root      paging   confidence  maps    user entries  because
0x100000  4-level  likely      kernel  0             its upper half maps the table itself, writable; nothing else agrees
`,
    });
    const json = await run(['roots', '--json', raw(kernel())]);
    expect(parse(json.stdout)).toEqual([
      {
        v: 1,
        kind: 'root',
        root: '0x100000',
        mode: '4-level',
        confidence: 'likely',
        maps: 'kernel',
        reason: 'its upper half maps the table itself, writable; nothing else agrees',
        sharing: 1,
        userEntries: 0,
      },
    ]);
    expect((await run(['roots', '--paging', 'pae', raw(kernel())])).stdout).toBe('no roots found\n');
  });

  test('the other commands search where nobody tells them, and say so', async () => {
    const path = raw(kernel());
    const { code, stdout, stderr } = await run(['translate', path, '0xffff888000001234']);
    expect(code).toBe(0);
    expect(stdout).toContain('translates to 0x1234: 4 KiB page');
    expect(stderr).toContain(
      "root 0x100000 (found by a search, likely, a kernel's half alone, no process's: its upper half maps the table itself",
    );
    expect((await run(['map', path, '--root', '0x100000', '--paging', '4-level'])).stderr).not.toContain('search');
  });
});

describe('what could not be looked at', () => {
  /** A dump of `program()` without the table of one address. */
  function without(va: bigint, level: number): string {
    const builder = program();
    const gfn = Number(builder.tableFor(va, level)) / PAGE;
    const frames = new Map([...framesOf(builder)].filter(([each]) => each !== gfn));
    return dumpFile(elfDump(frames, { notes: notesOf([{ cr0: 0x8000_0001n, cr3: builder.root, cr4: 0x20n }]) }));
  }
  const KERNEL = 0xffff_8880_0000_0000n;
  const withEmptyTable = () => {
    const builder = program();
    builder.newTable();
    return builder;
  };

  test('is counted and named by map, as text and as JSON, and by its exit code', async () => {
    const path = without(VA, 1);
    const text = await run(['map', path]);
    expect(text).toMatchObject({ code: 5, stderr: expect.stringContaining('1 page table is missing') as string });
    expect(text.stderr).toContain('it is unknown what 2M of the address space map to: 0x400000+2M (PT at 0x10');
    expect(text.stdout).toContain('1 range, 1 physical run');
    const json = await run(['map', path, '--json']);
    const gap = { reason: 'no-memory', va: '0x400000', pages: 512, level: 1 };
    expect(parse(json.stdout).at(-1)).toMatchObject({ missingTables: 1, missingPages: 512, gaps: [gap] });
    expect(json.code).toBe(5);
    expect((await run(['map', path, '--va', '0xffff888000000000+2M'])).code).toBe(0);
  });

  test.each([
    ['an address', [`0x${(VA + 0x1000n).toString(16)}`], '0x400000+2M (PT at 0x10'],
    ['several below one table', ['0x400000', '0x5ff000', '0xffff888000000000'], '0x400000+2M (PT at 0x10'],
    ['the reverse', ['--pa', '0x0'], '0x400000+2M (PT at 0x10'],
  ])('is counted and named by translate, and by its exit code: %s', async (_what, words, named) => {
    const path = without(VA, 1);
    for (const form of [[], ['--json']]) {
      const { code, stdout, stderr } = await run(['translate', path, ...words, ...form]);
      expect(code).toBe(5);
      expect(stderr).toContain('ptmon: 1 page table is missing, so it is unknown what 2M of the address space map to');
      expect(stderr).toContain(named);
      expect(stdout).not.toContain('ptmon:');
    }
    expect((await run(['translate', path, '0xffff888000000000'])).code).toBe(0);
  });

  test('is counted by the last line of the reverse, and by search and diff, in JSON', async () => {
    const path = without(VA, 1);
    const reverse = await run(['translate', path, '--pa', '0x0', '--json']);
    expect(parse(reverse.stdout).at(-1)).toMatchObject({
      kind: 'totals',
      pa: '0x0',
      missingTables: 1,
      missingPages: 512,
    });
    const found = await run(['search', path, 'nowhere', '--va', '0x400000+4M', '--json']);
    expect(found.code).toBe(5);
    expect(parse(found.stdout)).toEqual([{ v: 1, kind: 'totals', matches: 0, missingBytes: 2 ** 21 }]);
    expect(found.stderr).toContain(
      'no match; page tables or memory for 2M of the address space are missing from the source',
    );
    const compared = await run(['diff', dumpOf(program()), path, '--json']);
    expect(parse(compared.stdout).at(-1)).toMatchObject({ a: { missingTables: 0 }, b: { missingTables: 1 } });
  });

  test('a paging mode that the registers contradict is taken, and it is said', async () => {
    const { stderr } = await run(['map', dumpOf(program()), '--paging', 'pae']);
    expect(stderr).toContain('ptmon: warning: the registers of vCPU 0 say 4-level paging, not pae');
    expect((await run(['map', dumpOf(program()), '--paging', '4-level'])).stderr).not.toContain('warning');
  });

  test('of the root itself is all that it maps', async () => {
    const path = without(VA, 4);
    const { code, stderr } = await run(['translate', path, '0x400000', '--root', '0x100000']);
    expect(code).toBe(5);
    expect(stderr).toContain('1 page table is missing');
    expect(stderr).toContain('(PML4 at 0x100000)');
  });

  test('is no difference, and leaves it open whether there is one', async () => {
    const whole = dumpOf(program());
    const cut = without(KERNEL, 2);
    for (const [files, side] of [
      [[whole, cut], 'B'],
      [[cut, whole], 'A'],
    ] as const) {
      const { code, stdout, stderr } = await run(['diff', ...files]);
      expect({ code, stdout }).toEqual({ code: 5, stdout: 'no differences\n' });
      expect(stderr).toContain(`ptmon: ${side}: 1 page table is missing`);
    }
  });

  test.each([
    ['a root that is not in memory', () => without(VA, 4), 'the root itself is missing'],
    ['tables that are not', () => dumpOf(program()), 'the tables that it points to are missing', '0x101000'],
    ['nothing but absent entries', () => dumpOf(withEmptyTable()), 'no entry below it is present', '0x106000'],
  ])('nothing is mapped: %s', async (_what, make, why, root = '0x100000') => {
    const { code, stdout, stderr } = await run(['map', make(), '--root', root]);
    expect(stdout).toContain('0 ranges');
    expect(stderr).toContain(`maps nothing in 4-level paging: ${why}`);
    expect(code).toBe(5);
  });

  test('nothing is mapped: reserved bits', async () => {
    const builder = program();
    for (const va of [VA, KERNEL]) {
      const entryPa = builder.machine.entryPa(4, builder.root, va);
      builder.machine.put(entryPa, builder.machine.read(entryPa, 8)! | 0x80n);
    }
    const { code, stderr } = await run(['map', dumpOf(builder)]);
    expect(stderr).toContain(
      '2 entries have reserved bits set, so the processor faults there: 0x0+512G (PML4E at 0x100000)',
    );
    expect(stderr).toContain('maps nothing in 4-level paging: its entries have reserved bits set');
    expect(code).toBe(5);
  });

  test('nothing matches a filter: said, and exit code 0', async () => {
    const { code, stderr } = await run(['map', dumpOf(program()), '--page-size', '1G']);
    expect(stderr).toContain('no mapped range matches the filters');
    expect(code).toBe(0);
  });
});

describe('refused', () => {
  const path = dumpFile.bind(undefined);

  test.each<[args: string[], code: number, why: string]>([
    [['map'], 2, 'no source: give the path of a dump or trace first'],
    [['map', '/nowhere'], 3, '/nowhere does not exist'],
    [['map', '/dev/null'], 3, '/dev/null is not a file'],
    [['map', '/'], 3, '/ is not a file'],
    [['map', 'DUMP', 'more'], 2, 'too many arguments'],
    [['map', 'DUMP', '--wx', '--read-only'], 2, 'cannot be used with'],
    [['map', 'DUMP', '--json', '--csv'], 2, 'cannot be used with'],
    [['map', 'DUMP', '--va', '40000x'], 2, '--va 40000x: not a hexadecimal address'],
    [['map', 'DUMP', '--va', '0x5000-0x5000'], 2, 'its end must be above its start'],
    [['map', 'DUMP', '--min-size', '1X'], 2, 'not a number of bytes'],
    [['map', 'DUMP', '--page-size', '8K'], 2, 'give some of 4K,2M,4M,1G'],
    [['map', 'DUMP', '--vcpu', '1'], 2, 'there is no vCPU 1: the dump has only vCPU 0'],
    [['map', 'DUMP', '--ram-map', '0x0+4K@0'], 2, 'the format, elf, says where memory is'],
    [['map', 'DUMP', '--qmp', '/q', '--gdb', '/g'], 2, 'unexpected argument "'],
    [['map', '--gdb', '/q'], 2, '--gdb alone is not enough for a live guest: add --qmp, or use --vm'],
    [['roots', 'DUMP', '--qmp', '/q', '--gdb', '/g'], 2, 'unexpected argument "'],
    [['diff', 'DUMP'], 2, 'diff takes two dumps or traces, or one and a live guest (--vm); 1 given'],
    [['diff', 'DUMP', 'DUMP', 'DUMP'], 2, 'diff takes two dumps or traces, or one and a live guest (--vm); 3 given'],
    [
      ['diff', 'DUMP', 'DUMP', '--qmp', '/q', '--gdb', '/g'],
      2,
      'with a live guest, diff takes one dump or trace; 2 given',
    ],
    [['diff', 'DUMP', '/nowhere'], 3, '/nowhere does not exist'],
    [['diff', 'DUMP', 'DUMP', '--kinds', 'moved'], 2, 'give some of page-in,page-out,protection,restructure'],
    [['diff', 'DUMP', 'DUMP', '--pages', '--runs'], 2, 'cannot be used with'],
    [['roots', 'TEXT'], 4, 'is neither a dump that ptmon knows'],
    [['map', 'TORN'], 4, 'a table of program headers'],
    [['diff', 'DUMP', 'TORN'], 4, 'a table of program headers'],
    [['translate', 'TORN', '0x1000'], 4, 'at offset 0x'],
    [['translate', 'DUMP', '0x800000000000'], 2, 'is not canonical'],
  ])('%j', async (args, code, why) => {
    const bytes = elfDump(framesOf(program()), {
      notes: notesOf([{ cr0: 0x8000_0001n, cr3: 0x10_0000n, cr4: 0x20n }]),
    });
    const files = new Map([
      ['DUMP', () => path(bytes)],
      ['TEXT', () => path(Buffer.from('these are words\n'))],
      ['TORN', () => path(bytes.subarray(0, 150))],
    ]);
    const outcome = await run(args.map((word) => files.get(word)?.() ?? word));
    expect({ code: outcome.code, stdout: outcome.stdout }).toEqual({ code, stdout: '' });
    expect(outcome.stderr).toContain(why);
    expect(outcome.stderr).not.toMatch(/\n\s+at /);
  });

  test('tables that lead to each other exit with 4, naming the file', async () => {
    const builder = new SpaceBuilder();
    for (let slot = 0n; slot < 512n; slot += 2n) builder.machine.put(builder.root + slot * 8n, builder.root | PRESENT);
    const dump = dumpOf(builder);
    const { code, stderr } = await run(['map', dump, '--wx']);
    expect(code).toBe(4);
    expect(stderr).toMatch(
      new RegExp(
        `^(going through .*\n)*ptmon: ${dump}: ELF core.*: the tables of root 0x100000 lead to each other more than \\d+ times`,
      ),
    );
  });
});

describe('traces', () => {
  const trace = (name: string) => join(import.meta.dirname, '../../traces', `${name}.trace`);

  test.each([
    [['ps'], []],
    [['maps'], ['1']],
    [['dump', '--pid', '1', '-o', '/nowhere/dumped'], []],
    [['search', '--pid', '1'], ['text']],
    [['map', '--comm', 'workload'], []],
    [['translate'], ['sys_call_table']],
  ])('%s of one says that it holds page tables only', async ([command, ...options], words) => {
    const { code, stdout, stderr } = await run([command!, trace('tour'), ...words, ...options]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toMatch(/^ptmon: .*a trace holds page tables only: .* give a dump or a live guest\n$/);
  });

  test('are recognised, and looked at as they end', async () => {
    const { code, stdout, stderr } = await run(['map', trace('tour'), '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/^a trace of qemu at /) as string });
    const ranges = parse(stdout).slice(1, -1) as unknown as { readonly va: string; readonly pa: string }[];
    expect(ranges.length).toBeGreaterThan(10);
    const { va, pa } = ranges[3]!;
    expect(parse((await run(['translate', trace('tour'), va, '--json'])).stdout)).toMatchObject([
      { va, pa, translates: true },
    ]);
  });

  test('the ends of two are compared', async () => {
    expect(await run(['diff', trace('tour'), trace('tour')])).toMatchObject({ code: 0, stdout: 'no differences\n' });
    expect(await run(['diff', trace('tour'), trace('fork')])).toMatchObject({ code: 1 });
  });

  test('one that is spoiled exits with 4, and says where', async () => {
    const bytes = readFileSync(trace('tour'));
    bytes[bytes.length >> 1]! ^= 1;
    const { code, stderr } = await run(['map', dumpFile(bytes)]);
    expect({ code, stderr }).toEqual({ code: 4, stderr: expect.stringMatching(/dump.*at (byte|offset) /) as string });
  });
});

test.each(COMMANDS.flatMap(({ name }) => [80, 120].map((columns) => [name, columns] as const)))(
  'the help of %s fits a terminal of %i columns',
  async (command, columns) => {
    const { code, stdout } = await run([command, '--help'], { columns });
    expect(code).toBe(0);
    // An example is copied: it has no line break.
    const lines = stdout.split('\n').filter((line) => !line.startsWith(`  ptmon ${command}`));
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(columns);
  },
);

test.each([
  ['map', /--vm <name> .*defaults to the only one, if there is no other source\b/],
  ['diff', /--vm <name> .*to compare A with, by name or PID \(see ptmon vms\) --/],
  ['doctor', /--vm <name> .*defaults to the only one, but not with --release\b/],
])('the help of %s says what happens without --vm', async (command, text) => {
  const { stdout } = await run([command, '--help'], { columns: 1000 });
  expect(stdout.replace(/\s+/g, ' ')).toMatch(text);
});

test.each(['ps', 'maps'])('the help of %s offers no trace, which it refuses', async (command) => {
  const { stdout } = await run([command, '--help']);
  expect(stdout).not.toMatch(/\btrace\b/);
});

test('diff without an argument says so, whatever VMs there are', async () => {
  const { code, stderr } = await run(['diff']);
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: 'ptmon: the argument <dumps> is missing (see ptmon diff --help)\n',
  });
});
