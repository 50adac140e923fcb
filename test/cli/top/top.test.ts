import { stripVTControlCharacters } from 'node:util';
import { Ansis } from 'ansis';
import { describe, expect, test } from 'vitest';
import { keysIn } from '../../../src/cli/commands/top/keys.ts';
import { press } from '../../../src/cli/commands/top/top-controls.ts';
import { rateText, sorted } from '../../../src/cli/commands/top/top-columns.ts';
import { type LookedAt, TopRows } from '../../../src/cli/commands/top/top-rows.ts';
import { screenLines, sparkline, type TopState } from '../../../src/cli/commands/top/top-screen.ts';
import { widthOf } from '../../../src/sinks/text-width.ts';
import { lookOf, SWAPPED_LOOK } from '../../../src/web/picture/look.ts';
import { run } from '../run.ts';

const READ_ONLY = lookOf(6, 1);
const WRITABLE = lookOf(7, 1);
const plain = new Ansis(0);
const coloured = new Ansis(3);

const base = { uid: 0, threads: 1, state: 'S' };
const process = (pid: number, command: string, runs: LookedAt['runs']): LookedAt => ({
  ...base,
  pid,
  command,
  startTime: BigInt(pid),
  runs,
});

/** Two looks, half a second apart. */
function twoLooks() {
  const rows = new TopRows();
  rows.look(
    [
      process(1, 'init', [[0, 10, READ_ONLY, 100]]),
      process(7, 'busy', [
        [0, 8, READ_ONLY, 200],
        [20, 4, WRITABLE, 300],
      ]),
    ],
    undefined,
  );
  return rows.look(
    [
      process(1, 'init', [[0, 10, READ_ONLY, 100]]),
      process(7, 'busy', [
        [0, 6, READ_ONLY, 200],
        [6, 2, WRITABLE, 400],
        [20, 3, WRITABLE, 300],
        [23, 1, SWAPPED_LOOK, -1],
        [512, 512, lookOf(7, 512), 1024],
      ]),
      process(9, '漢字\u001b[2Jname', [[0, 1, WRITABLE, 900]]),
    ],
    0.5,
  );
}

const state = (change: Partial<TopState> = {}): TopState => ({
  guest: 'vm1',
  intervalMs: 1000,
  processes: twoLooks(),
  sort: 'resident',
  selected: 7,
  opened: undefined,
  scroll: 0,
  showsHelp: false,
  failure: undefined,
  ...change,
});

test('rows say what is there, and what came and went a second', () => {
  const [init, busy, other] = twoLooks();
  expect(init).toMatchObject({ resident: 40_960, pagesIn: 0, pagesOut: 0, copies: 0, history: [0] });
  expect(busy).toMatchObject({
    resident: 523 * 4096,
    large: 512 * 4096,
    swapped: 4096,
    pagesIn: 1028,
    pagesOut: 6,
    copies: 4,
  });
  // New since the look before: what it has did not come in half a second.
  expect(other).toMatchObject({ resident: 4096, pagesIn: 0, history: [] });
});

test('a process of the same number is another one', () => {
  const rows = new TopRows();
  rows.look([process(7, 'old', [[0, 100, WRITABLE, 0]])], undefined);
  const [row] = rows.look([{ ...process(7, 'new', []), startTime: 99n }], 1);
  expect(row).toMatchObject({ pagesOut: 0, history: [] });
});

test.each([
  ['resident', [7, 1, 9]],
  ['in', [7, 1, 9]],
  ['swap', [7, 1, 9]],
  ['pid', [1, 7, 9]],
  ['name', [7, 1, 9]],
] as const)('sorted by %s', (sort, pids) => {
  expect(sorted(twoLooks(), sort).map(({ pid }) => pid)).toEqual(pids);
});

describe('the screen', () => {
  test.each([
    [80, 24],
    [100, 30],
    [200, 50],
    [40, 10],
    [20, 5],
  ])('is full at %ix%i, and no line is wider', (columns, rows) => {
    const area = {
      at: 0n,
      start: 0x400000n,
      end: 0x401000n,
      rights: { readable: true, writable: false, executable: true, shared: false },
      isHugetlb: false,
      fileOffset: 0n,
      file: null,
      name: '/usr/bin/漢字\u001b[2J',
      mapped: 1,
      resident: 1,
      swapped: 0,
    };
    const opened = { pid: 7, name: 'busy', areas: [area] };
    for (const shown of [state(), state({ showsHelp: true }), state({ opened }), state({ failure: 'it failed' })]) {
      const lines = screenLines(shown, { columns, rows }, plain);
      expect(lines).toHaveLength(rows);
      expect(lines.map(widthOf).filter((width) => width > columns)).toEqual([]);
      expect(lines.join('\n')).not.toContain('\u001b');
      const drawn = screenLines(shown, { columns, rows }, coloured).map((line) => stripVTControlCharacters(line));
      expect(drawn.map((line) => line.trimEnd())).toEqual(lines.map((line) => line.trimEnd()));
    }
  });

  test('shows at 80 columns what matters', () => {
    const lines = screenLines(state(), { columns: 80, rows: 8 }, plain).map((line) => line.trimEnd());
    expect(lines).toEqual([
      'ptmon top  vm1                                                 sampled every 1 s',
      '3 processes, 2.1M mapped, 4K swapped, 1028 pages/s in, 6.0 out',
      '    PID COMMAND              RESIDENT   IN/s  OUT/s  COW/s   LARGE    SWAP STATE',
      '      7 busy                     2.0M   1028    6.0    4.0      2M      4K S',
      '      1 init                      40K      0      0      0       -       - S',
      String.raw`      9 漢字\x1b[2Jname            4K      0      0      0       -       - S`,
      '',
      'q quit  ? keys  Enter open  sort: r i o c l s p n',
    ]);
  });

  test('without colours the marked row and the order show all the same', () => {
    const lines = screenLines(state(), { columns: 80, rows: 8 }, plain, new Ansis(1));
    expect(lines.filter((line) => line.includes('\u001b[7m'))).toEqual([lines[2], lines[3]]);
    expect(lines[2]).toContain('\u001b[4m RESIDENT');
    const [, , , marked, other] = screenLines(state(), { columns: 80, rows: 8 }, plain);
    expect(lines.slice(3, 5)).toEqual([`\u001b[7m${marked}\u001b[27m`, other]);
  });

  test('a wide one has the users, the threads and the history', () => {
    const [, , heading] = screenLines(state(), { columns: 200, rows: 8 }, plain);
    expect(heading).toMatch(/STATE +UID +THR +IN\+OUT\/s/);
    expect(sparkline([0, 1, 4, 8], 6)).toBe('·▁▄█  ');
  });

  test.each([
    [0, '0'],
    [0.25, '0.3'],
    [12.4, '12'],
    [99_999, '99999'],
    [123_456, '123k'],
    [2_500_000, '2.5m'],
  ])('%f pages a second are %s', (value, text) => expect(rateText(value)).toBe(text));
});

describe('keys', () => {
  test('are recognised in what a terminal sends', () => {
    expect(keysIn('q\u001b[A\u001bOB\u001b[5~\r\u001b\u007f\u0003\u001b[99~é')).toEqual([
      'q',
      'up',
      'down',
      'page-up',
      'enter',
      'escape',
      'backspace',
      'interrupt',
      'é',
    ]);
  });

  const at = { columns: 80, rows: 6 };
  test('sort, move, open, go back and quit', () => {
    expect(press(state(), 's', at).state.sort).toBe('swap');
    expect(press(state(), 'down', at).state.selected).toBe(1);
    expect(press(state(), 'end', at).state).toMatchObject({ selected: 9, scroll: 1 });
    expect(press(state({ selected: 9, scroll: 1 }), 'home', at).state).toMatchObject({ selected: 7, scroll: 0 });
    expect(press(state(), 'enter', at).request).toBe('open');
    const opened = { pid: 7, name: 'busy', areas: [] };
    expect(press(state({ opened }), 'escape', at).state.opened).toBeUndefined();
    expect(press(state({ opened }), 'enter', at).request).toBeUndefined();
    expect(press(state(), 'q', at).request).toBe('quit');
    expect(press(state({ opened }), 'q', at).request).toBe('quit');
    expect(press(state(), 'interrupt', at).request).toBe('interrupt');
    expect(press(state(), '?', at).state.showsHelp).toBe(true);
    expect(press(state({ showsHelp: true }), 'q', at)).toMatchObject({
      state: { showsHelp: false },
      request: undefined,
    });
    expect(press(state(), 'x', at)).toEqual({ state: state(), request: undefined });
  });
});

test.each([
  [['top'], 2, 'no guest: give --vm, or --qmp with its QMP socket'],
  [['top', '--qmp', '/nowhere/qmp'], 3, 'unix:/nowhere/qmp does not exist'],
  [['top', '--qmp', '/nowhere/qmp', '--sort', 'size'], 2, '--sort size: not one of resident, in, out'],
  [['top', '--interval', '5'], 2, '--interval 5: not an integer from 100'],
  [['top', 'file'], 2, 'too many arguments'],
])('%j is refused', async (args, code, message) => {
  const outcome = await run(args);
  expect(outcome.stderr.replaceAll(/\s+/g, ' ')).toContain(message);
  expect(outcome.code).toBe(code);
});
