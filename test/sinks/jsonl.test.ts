import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { eventLine, headerLine } from '../../src/sinks/jsonl-format.ts';
import { jsonlSink } from '../../src/sinks/jsonl.ts';
import { VERSION } from '../../src/sinks/version.ts';
import { pageIn, pageOut, protection, Recorder, restructure, rootGone, summary } from './examples.ts';

const source = { source: 'sim', mode: '4-level', kinds: [] } as const;
const cause = '"cause":{"entryPa":"0x3ff8","level":1,"oldValue":"0x0","newValue":"0x8000000001a2b067"}';

describe('E5 a line says all that the event says, byte for byte', () => {
  test.each([
    [
      pageIn,
      `{"v":1,"kind":"page-in","seq":7,"view":0,"root":"0x1000","va":"0x7f1234567abc","pa":"0x1a2babc","pageSize":4096,"tags":["nginx[12]:heap"],"vcpu":1,${cause}}`,
    ],
    [
      pageOut,
      '{"v":1,"kind":"page-out","seq":7,"view":0,"root":"0x1000","va":"0xffff888000000000","pa":"0xffffffffff000","pageSize":2097152,"pages":1024,"tags":["a",7],"vcpu":null,"cause":{"entryPa":"0x3ff8","level":2,"oldValue":"0x1a2b0e7","newValue":"0x0"}}',
    ],
    [
      protection,
      `{"v":1,"kind":"protection","seq":7,"view":0,"root":"0x1000","va":"0x7f1234567abc","pa":"0x1a2babc","pageSize":4096,"oldRights":{"writable":true,"user":true,"noExecute":false,"protectionKey":0},"newRights":{"writable":false,"user":true,"noExecute":true,"protectionKey":3},"tags":["nginx[12]:heap"],"vcpu":1,${cause}}`,
    ],
    [
      restructure,
      `{"v":1,"kind":"restructure","seq":7,"view":0,"root":"0x1000","va":"0x7f1234567abc","pa":"0x1a2babc","pageSize":2097152,"oldPageSize":4096,"tags":["nginx[12]:heap"],"vcpu":1,${cause}}`,
    ],
    [
      rootGone,
      '{"v":1,"kind":"root-gone","seq":7,"view":2,"root":"0x1000","va":"0x7f1234567abc","tags":[],"vcpu":null,"cause":null}',
    ],
  ])('$kind', (event, expected) => {
    expect(eventLine(event, 7)).toBe(`${expected}\n`);
  });

  test('root-gone of a range says of how many pages', () => {
    expect(JSON.parse(eventLine({ ...rootGone, pages: 512 } as MonitorEvent, 0))).toMatchObject({
      kind: 'root-gone',
      pages: 512,
    });
  });

  test('a value of all 64 bits is exact', () => {
    const newValue = 0xffff_ffff_ffff_ffffn;
    const line = eventLine({ ...pageIn, cause: { ...pageIn.cause!, newValue } }, 0);
    expect(BigInt(JSON.parse(line).cause.newValue)).toBe(newValue);
  });
});

test('a name that a guest has chosen moves no cursor, turns no text around and ends no line', () => {
  const tag = '\u009b2J\u202eabc\u2028\u2029\u0085\u007f\u{e0041}ü東';
  const line = eventLine({ ...pageIn, tags: [tag] } as MonitorEvent, 0);
  expect(line).toContain('"\\u009b2J\\u202eabc\\u2028\\u2029\\u0085\\u007f\\udb40\\udc41ü東"');
  expect(JSON.parse(line).tags).toEqual([tag]);
});

describe('a stream of lines', () => {
  test('header, events numbered from 0, end', async () => {
    const output = new Recorder();
    const sink = jsonlSink(output, { options: { seed: 3, steps: 20, isolation: false } });
    await sink.begin?.({ ...source, kinds: ['protection'] });
    await sink.write(pageIn);
    await sink.write(pageOut);
    await sink.end({ ...summary, lost: { known: 4, unknown: true } });

    const lines = output.text.split('\n');
    expect(lines.pop()).toBe('');
    expect(lines).toEqual([
      `{"v":1,"kind":"header","ptmon":"${VERSION}","source":"sim","mode":"4-level","kinds":["protection"],"options":{"seed":3,"steps":20,"isolation":false}}`,
      eventLine(pageIn, 0).trimEnd(),
      eventLine(pageOut, 1).trimEnd(),
      '{"v":1,"kind":"end","ended":"finished","counts":{"page-in":2,"page-out":1,"protection":0,"restructure":0,"root-gone":0},"writes":12,"commits":10,"resyncs":0,"foundByResync":0,"lost":{"known":4,"unknown":true},"faults":0,"retries":0}',
    ]);
    expect(output.writableEnded).toBe(false);
  });

  test('the end of a session that failed says why', async () => {
    const output = new Recorder();
    await jsonlSink(output).end({
      ...summary,
      ended: 'failed',
      failure: { code: 'source-unavailable', message: 'gone' },
    });
    expect(JSON.parse(output.text)).toMatchObject({
      kind: 'end',
      ended: 'failed',
      failure: { code: 'source-unavailable', message: 'gone' },
    });
  });

  test('a tag cannot break a line', () => {
    const line = eventLine({ ...pageIn, tags: ['a\nb"\u2028{'] }, 0);
    expect(line.indexOf('\n')).toBe(line.length - 1);
    expect(JSON.parse(line).tags).toEqual(['a\nb"\u2028{']);
  });
});

test("the header names this package's version", () => {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  expect(JSON.parse(headerLine(VERSION, source))).toMatchObject({ ptmon: manifest.version, source: 'sim' });
});
