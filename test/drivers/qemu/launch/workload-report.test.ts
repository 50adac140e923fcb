import { describe, expect, test } from 'vitest';
import {
  type PagesReport,
  pagesOf,
  parseHello,
  parseReport,
} from '../../../../src/drivers/qemu/launch/workload-report.ts';

const corrupt = expect.objectContaining({ code: 'corrupt-input' }) as Error;

describe('a line of the workload', () => {
  test.each([
    [
      '{"op":"touch","pid":80,"va":"0x100000000000","pages":2,"before":null,"pfn":"0xb3db"}',
      {
        kind: 'pages',
        op: 'touch',
        pid: 80,
        va: 0x100000000000n,
        pages: 2,
        before: null,
        pfn: 0xb3db,
        inaccessible: false,
      },
    ],
    [
      '{"op":"swapout","pid":1,"va":"0xff00000000001000","pages":1,"before":"0x1","pfn":null,"swapType":3,"swapOffset":"0x200"}',
      {
        kind: 'pages',
        op: 'swapout',
        pid: 1,
        va: 0xff00000000001000n,
        pages: 1,
        before: 1,
        pfn: null,
        swap: { type: 3, offset: 0x200 },
        inaccessible: false,
      },
    ],
    [
      '{"op":"mprotect","thread":1,"va":"0x1000","before":"0x2","pfn":"0x2","inaccessible":true}',
      { kind: 'pages', op: 'mprotect', thread: 1, va: 0x1000n, pages: 1, before: 2, pfn: 2, inaccessible: true },
    ],
    ['{"op":"done","command":"x"}', { kind: 'other', op: 'done', fields: { op: 'done', command: 'x' } }],
  ])('%s', (line, expected) => {
    expect(parseReport(line)).toEqual(expected);
  });

  test.each([
    'not json',
    '[]',
    'null',
    '{}',
    '{"op":1}',
    '{"op":"touch","va":4096,"before":null,"pfn":null}',
    '{"op":"touch","va":"0x1000","before":null}',
    '{"op":"touch","va":"0x1000","before":null,"pfn":"12"}',
    '{"op":"touch","va":"0x1000","pages":-1,"before":null,"pfn":null}',
    '{"op":"touch","va":"0x10000000000000000","before":null,"pfn":null}',
  ])('%s is not one', (line) => {
    expect(() => parseReport(line)).toThrow(corrupt);
  });

  test('a run of pages has a frame for each', () => {
    const run: PagesReport = {
      kind: 'pages',
      op: 'collapse',
      va: 0x200000n,
      pages: 3,
      before: null,
      pfn: 0x9800,
      inaccessible: false,
    };
    expect(pagesOf(run)).toEqual([
      { va: 0x200000n, before: null, pfn: 0x9800 },
      { va: 0x201000n, before: null, pfn: 0x9801 },
      { va: 0x202000n, before: null, pfn: 0x9802 },
    ]);
  });
});

describe('the hello of a workload', () => {
  const fields = {
    op: 'hello',
    pid: 80,
    release: '6.1.0',
    cpus: 2,
    la57: true,
    pti: false,
    kaslr: true,
    pagemap: true,
    hugePages: '[always] madvise never',
    swap: true,
    shell: false,
    firstVa: '0x100000000000',
    beacon: '0x406b50',
    beaconMagic: '0x50544d4f4e42434e',
    tscHertz: 2672161307,
  };

  test('says everything', () => {
    const { op, ...facts } = fields;
    expect(op).toBe('hello');
    expect(parseHello(fields)).toEqual({
      ...facts,
      firstVa: 0x100000000000n,
      beacon: 0x406b50n,
      beaconMagic: 0x50544d4f4e42434en,
    });
  });

  test.each(Object.keys(fields).filter((key) => key !== 'op'))('without %s it is from another version', (key) => {
    expect(() => parseHello({ ...fields, [key]: undefined })).toThrow(corrupt);
  });
});
