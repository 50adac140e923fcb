import { expect, test } from 'vitest';
import { CSV, JSON_LINES, textWriter } from '../../../src/cli/commands/map/range-writers.ts';
import type { Pa } from '../../../src/core/address/types.ts';
import { vaOf } from '../../../src/core/address/va.ts';
import { SpaceBuilder } from '../../snapshot/space.ts';

test('CSV has every digit of a length beyond 2^53', () => {
  const rights = { writable: false, user: false, noExecute: true, protectionKey: 0 };
  const range = { va: vaOf(0, 0), byteLength: 2 ** 56, rights, sizes: [], pa: 0 as Pa, runs: 1, repeats: true };
  expect(CSV.range(range, new SpaceBuilder('5-level').space, [])).toContain(',72057594037927936,');
});

test('CSV has the names of areas last, with the quotes of RFC 4180', () => {
  const rights = { writable: false, user: false, noExecute: true, protectionKey: 0 };
  const range = { va: vaOf(1, 0), byteLength: 4096, rights, sizes: [], pa: 0 as Pa, runs: 1, repeats: false };
  const { space } = new SpaceBuilder();
  expect(CSV.heading(space)).toMatch(/,repeats,names\r\n$/);
  expect(CSV.range(range, space, ['kernel text', 'vmalloc'])).toMatch(/,1,false,kernel text; vmalloc\r\n$/);
  expect(CSV.range(range, space, ['/tmp/a,"b"'])).toMatch(/,false,"\/tmp\/a,""b"""\r\n$/);
  expect(CSV.range(range, space, [])).toMatch(/,false,\r\n$/);
});

test('text for a terminal never wraps by itself, and leaves nothing out', () => {
  const rights = { writable: true, user: true, noExecute: false, protectionKey: 0 };
  const sizes = [{ pageSize: 4096 as const, byteLength: 4096 }];
  const range = {
    va: 0xffff_ffff_c03b_d000n,
    byteLength: 16_384,
    rights,
    sizes,
    pa: 0x233_6000 as Pa,
    runs: 4,
    repeats: false,
  };
  const { space } = new SpaceBuilder();
  const text = textWriter(80).range(range, space, ['module lz4hc_compress']);
  const lines = text.trimEnd().split('\n');
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  expect(lines).toEqual([
    expect.stringMatching(/ 0x2336000$/),
    expect.stringMatching(/^ +and 3 more runs, module lz4hc_compress$/),
  ]);
  expect(textWriter(200).range(range, space, ['module lz4hc_compress'])).toMatch(
    / 0x2336000 and 3 more runs +module lz4hc_compress\n$/,
  );
});

test('JSON has the warnings of the source in its first line', () => {
  const { space } = new SpaceBuilder();
  expect(JSON.parse(JSON_LINES.heading(space, ['the file is truncated']))).toMatchObject({
    kind: 'map',
    warnings: ['the file is truncated'],
  });
  expect(JSON_LINES.heading(space, [])).not.toContain('warnings');
});

test('the heading names each column, and does not wrap either', () => {
  const { space } = new SpaceBuilder();
  expect(textWriter(120).heading(space)).toMatch(/ rights  pages {4}physical {20}name\n$/);
  const narrow = textWriter(80).heading(space);
  expect(narrow).toMatch(/ physical, name\n$/);
  expect(narrow.trimEnd().length).toBeLessThanOrEqual(80);
});
