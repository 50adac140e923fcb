import { Ansis } from 'ansis';
import stringWidth from 'string-width';
import { describe, expect, test } from 'vitest';
import type { Pa } from '../../src/core/address/types.ts';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { coloursFor } from '../../src/sinks/console/colours.ts';
import { columnsOf } from '../../src/sinks/columns.ts';
import { consoleSink } from '../../src/sinks/console/console.ts';
import { bytesText, rowOf } from '../../src/sinks/console/event-row.ts';
import { RowLayout } from '../../src/sinks/console/row-layout.ts';
import { pageIn, pageOut, protection, Recorder, restructure, rootGone, summary } from './examples.ts';

const all: MonitorEvent[] = [pageIn, pageOut, protection, restructure, rootGone];

function plain(columns: number): (event: MonitorEvent) => string {
  const layout = new RowLayout({ colours: new Ansis(0), columns: () => columns });
  return (event) => layout.line(rowOf(event, layout.wide));
}

async function printed(events: readonly MonitorEvent[], options: Parameters<typeof consoleSink>[1]): Promise<string> {
  const output = new Recorder();
  const sink = consoleSink(output, options);
  for (const event of events) await sink.write(event);
  await sink.end(summary);
  return output.text;
}

describe('a line for each kind', () => {
  test('in 80 columns: flags only of entries that name a frame', () => {
    expect(all.map(plain(80))).toEqual([
      '+ nginx[12]:heap               0x7f1234567abc 0x1a2babc   4K     PTE 0x0 → …067',
      '- a,7                     0xffff888000000000 0xffffffffff000 2×2M PDE …0e7 → 0x0',
      '~ nginx[12]:heap               0x7f1234567abc 0x1a2babc   4K     rwxu → r--u3',
      '= nginx[12]:heap               0x7f1234567abc 0x1a2babc   2M     was 4K',
      'x root 0x1000 view 2 gone',
    ]);
  });

  test('in 120 columns: whole entries and the vCPU', () => {
    expect(all.map(plain(120))).toEqual([
      '+ nginx[12]:heap                  0x7f1234567abc 0x1a2babc   4K     PTE 0x0 → 0x8000000001a2b067 cpu1',
      '- a,7                         0xffff888000000000 0xffffffffff000 2×2M PDE 0x1a2b0e7 → 0x0',
      '~ nginx[12]:heap                  0x7f1234567abc 0x1a2babc   4K     rwxu → r--u3, PTE 0x0 → 0x8000000001a2b067 cpu1',
      '= nginx[12]:heap                  0x7f1234567abc 0x1a2babc   2M     was 4K, PTE 0x0 → 0x8000000001a2b067 cpu1',
      'x root 0x1000 view 2 gone',
    ]);
  });

  test('a size of many pages moves only what is behind it, where that fits', () => {
    const layout = new RowLayout({ colours: new Ansis(0), columns: () => 80, leadColumns: 8, vaColumns: 15 });
    const row = { kind: 'page-in', who: 'workload[81]:stage', va: '0x100000000000…', pa: '0x29db000' } as const;
    expect(
      [
        { ...row, size: '64×4K', why: '64 PTEs set' },
        { ...row, size: '1024×4K', why: '1024 PTEs set' },
        { ...row, size: '1024×4K', why: '1024 PTEs → 0x0' },
      ].map((each) => layout.line(each, '   0.121')),
    ).toEqual([
      '   0.121 + workload[81]:stage 0x100000000000… 0x29db000   64×4K  64 PTEs set',
      '   0.121 + workload[81]:stage 0x100000000000… 0x29db000   1024×4K 1024 PTEs set',
      '   0.121 + worklo…[81]:stage 0x100000000000… 0x29db000   1024×4K 1024 PTEs → 0x0',
    ]);
  });

  test('of a name that would steer the terminal, its code', () => {
    const text = plain(80)({ ...pageIn, tags: ['\x1b[2Jx\n'] });
    expect(text).toContain('+ \\x1b[2Jx\\x0a ');
    expect(text).not.toContain('\x1b');
  });

  test('of a long name, what the process is called gives way', () => {
    expect(plain(80)({ ...pageIn, tags: ['a-program-with-a-long-name[123456]:mapping'] })).toBe(
      '+ a-program-w…[123456]:mapping 0x7f1234567abc 0x1a2babc   4K     PTE 0x0 → …067',
    );
  });
});

describe('who', () => {
  test.each([
    ['a process and its area, which are two tags', ['mine[90]', 'anon'], '+ mine[90]:anon '],
    ['the same as one tag', ['mine[90]:anon'], '+ mine[90]:anon '],
    ['tags of other kinds', ['buffer', 7], '+ buffer,7 '],
    ['a path loses its beginning', ['init[1]', '/usr/lib/x86_64-linux-gnu/libc.so.6'], '+ init[1]:…/libc.so.6 '],
    ['then the process its end', ['systemd-resolved[316]', '/usr/lib/libc.so.6'], '+ systemd-re…[316]:…/libc.so.6 '],
    ['wide characters take two columns', ['守护进程守护进程守护进程[7]', 'heap'], '+ 守护进程守护进程守… [7]:heap '],
  ])('%s', (_what, tags, expected) => {
    expect(plain(80)({ ...pageIn, tags })).toContain(expected);
  });

  test('has the same columns whatever it is: those behind it do not move', () => {
    const text = plain(80);
    const names = [
      'a',
      'mine[90]:anon',
      'init[1]:/usr/lib/x86_64-linux-gnu/libc.so.6',
      '守护进程守护进程守护进程守护[7]:heap',
    ];
    const places = names.map((name) => stringWidth(text({ ...pageIn, tags: [name] }).split('0x7f1234567abc')[0]!));
    expect(new Set(places)).toEqual(new Set([31]));
  });

  test('takes no more than its part of a wide terminal', () => {
    expect(plain(200)(pageIn).indexOf('0x7f1234567abc')).toBe(plain(130)(pageIn).indexOf('0x7f1234567abc'));
  });

  test.each([
    ['a process', ['sleep[316]'], 'x sleep[316] ended'],
    ['of which only an area was watched', ['sleep[316]:heap'], 'x sleep[316] ended'],
    ['any other tag', ['buffer'], 'x buffer gone'],
    ['no tag', [], 'x root 0x1000 gone'],
  ])('has ended: %s', (_what, tags, expected) => {
    expect(plain(80)({ ...rootGone, view: 0, tags })).toBe(expected);
  });
});

test('a long value moves nothing in the lines after it', () => {
  const text = plain(100);
  const before = text(pageIn);
  text({ ...pageOut, va: 0xffff_ffff_ffff_f000n, pages: 123_456 });
  expect(text(pageIn)).toBe(before);
});

test.each([80, 100, 120])('all pages of a table are where one page is, in %i columns', (columns) => {
  const layout = new RowLayout({ colours: new Ansis(0), columns: () => columns, leadColumns: 8, vaColumns: 15 });
  const place = (event: MonitorEvent) => layout.line(rowOf(event, layout.wide), '   1.000').indexOf('0x7f1234567abc');
  expect(place({ ...pageIn, pages: 512 })).toBe(place(pageIn));
});

describe('lines never wrap', () => {
  const long: MonitorEvent = {
    ...pageOut,
    tags: ['a-process-with-a-very-long-name[123456]:a-mapping-with-a-long-name'],
    cause: { entryPa: 0xf_ffff_ffff_fff8 as Pa, level: 5, oldValue: 2n ** 64n - 1n, newValue: 2n ** 63n + 0xfffn },
    vcpu: 127,
    pages: 12_345,
  };
  test.each([80, 100, 109, 110, 120, 200])('%i columns', (columns) => {
    const text = plain(columns);
    for (const event of [...all, long]) {
      const line = text(event);
      expect(line.length, line).toBeLessThanOrEqual(columns);
    }
  });

  test('and follow a terminal that changes', () => {
    let columns = 80;
    const layout = new RowLayout({ colours: new Ansis(0), columns: () => columns });
    const narrow = layout.line(rowOf(pageIn, layout.wide));
    columns = 120;
    const wide = layout.line(rowOf(pageIn, layout.wide));
    expect([narrow.includes('…067'), wide.includes('0x8000000001a2b067')]).toEqual([true, true]);
  });
});

test.each([
  [4096, '4K'],
  [2 ** 21, '2M'],
  [2 ** 22, '4M'],
  [2 ** 30, '1G'],
  [12_288, '12K'],
  [100, '100B'],
])('%i bytes are %s', (byteLength, text) => {
  expect(bytesText(byteLength)).toBe(text);
});

describe('pages and their size', () => {
  test.each([
    [1, 4096, '4K'],
    [12, 4096, '12×4K'],
    [1, 2 ** 21, '2M'],
    [512, 2 ** 21, '2M'],
    [1024, 2 ** 21, '2×2M'],
    [37, 2 ** 21, '37×4K/2M'],
    [262_144, 2 ** 30, '1G'],
  ])('%i pages of a leaf of %i bytes: %s', (pages, pageSize, expected) => {
    expect(plain(80)({ ...pageIn, pages, pageSize }).split(/ +/)).toContain(expected);
  });
});

describe('colour', () => {
  const tty = Object.assign(new Recorder(), { isTTY: true });
  test.each([
    ['a terminal', tty, { TERM: 'xterm-256color' }, true],
    ['a pipe', new Recorder(), { TERM: 'xterm-256color' }, false],
    ['a pipe in a build service', new Recorder(), { TERM: 'xterm', CI: '1' }, false],
    ['a terminal with NO_COLOR', tty, { TERM: 'xterm', NO_COLOR: '1' }, false],
    ['a terminal with an empty NO_COLOR', tty, { TERM: 'xterm', NO_COLOR: '' }, true],
    ['a dumb terminal', tty, { TERM: 'dumb' }, false],
    ['a pipe with FORCE_COLOR', new Recorder(), { FORCE_COLOR: '1' }, true],
    ['a terminal with FORCE_COLOR=0', tty, { TERM: 'xterm', FORCE_COLOR: '0' }, false],
    ['FORCE_COLOR over NO_COLOR', new Recorder(), { FORCE_COLOR: '1', NO_COLOR: '1' }, true],
  ])('%s', (_, stream, env, coloured) => {
    expect(coloursFor(stream, env).red('x') !== 'x').toBe(coloured);
  });

  test('changes nothing but the colour', async () => {
    const coloured = await printed(all, { colour: true, columns: 100 });
    expect(coloured).toContain('\x1b[32m+\x1b[39m');
    expect(new Ansis(0).strip(coloured)).toBe(await printed(all, { colour: false, columns: 100 }));
  });
});

test.each([
  [{ columns: 132 }, 132],
  [{ columns: 0 }, 80],
  [{}, 80],
])('the width of a stream with %o is %i', (properties, columns) => {
  expect(columnsOf(Object.assign(new Recorder(), properties))).toBe(columns);
});

describe('the last line', () => {
  test.each([
    [{}, '2 page-in, 1 page-out; 12 writes, no events lost\n'],
    [
      { lost: { known: 3, unknown: false }, counts: { ...summary.counts, protection: 4 } },
      '2 page-in, 1 page-out, 4 protection; 12 writes, 3 events lost\n',
    ],
    [
      { lost: { known: 0, unknown: true }, resyncs: 2, foundByResync: 1 },
      '2 page-in, 1 page-out; 12 writes, an unknown number of events lost, 1 event found only by comparing (in 2 comparisons)\n',
    ],
    [
      { ended: 'failed', failure: { code: 'source-unavailable', message: 'the guest is gone' } },
      '2 page-in, 1 page-out; 12 writes, no events lost\nfailed: the guest is gone\n',
    ],
  ] as const)('of %o', async (changes, expected) => {
    const output = new Recorder();
    await consoleSink(output).end({ ...summary, ...changes });
    expect(output.text).toBe(expected);
  });
});

test('why it is not known how many events were lost is in the last line, made safe to print', async () => {
  const output = new Recorder();
  const lost = { known: 0, unknown: true, reasons: ['several vCPUs', 'a\u001b[2J'] };
  await consoleSink(output).end({ ...summary, lost });
  expect(output.text).toContain('an unknown number of events lost (several vCPUs; a');
  expect(output.text).not.toContain('\u001b');
});

test('where some of the time has lost nothing, the last line says for how long it is unknown', async () => {
  const output = new Recorder();
  const windows = { proved: 90, unknown: 2, unknownMs: 34.56, longestMs: 24.5 };
  await consoleSink(output).end({ ...summary, lost: { known: 0, unknown: true, reasons: ['sampled'], windows } });
  expect(output.text).toContain('an unknown number of events lost (sampled) in 0.03 s (2 samples, at most 25 ms each)');
});

test.each([40, 55, 60, 66, 70, 75, 79, 80])(
  'the PID of the owner stays in %i columns, and the line is no longer',
  (columns) => {
    const layout = new RowLayout({ colours: new Ansis(0), columns: () => columns, leadColumns: 8, vaColumns: 15 });
    for (const tag of ['busybox[133]', 'w[4194304]', '記憶管理プロセス[81]', 'a[b]c[7]']) {
      for (const area of ['', ':heap', ':anon', ':/usr/lib/x86_64-linux-gnu/libc.so.6', ':[anon:記憶]']) {
        const line = layout.line({ ...rowOf(pageIn, false), who: `${tag}${area}` }, '   1.000');
        expect(line).toMatch(new RegExp(`\\${tag.slice(tag.lastIndexOf('['))}[ :]`));
        if (columns >= 60) expect(stringWidth(line)).toBeLessThanOrEqual(columns);
      }
    }
  },
);
