/** The files of the archive, read by DuckDB: every value comes back as it was, 64-bit addresses exactly. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { COLUMNS, publish, readParquet, writeTemporary } from '../../../src/fleet/archive/parquet.ts';
import { type Row, rowsOf } from '../../../src/fleet/archive/row.ts';
import { eventLine } from '../../../src/sinks/jsonl-format.ts';
import { pageIn, pageOut, protection, restructure, rootGone } from '../../sinks/examples.ts';
import { ask, from } from './duckdb.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ptmon-parquet-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const edges = [0n, 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, 0xffff_8880_0000_0000n];
const VALUES: Record<string, fc.Arbitrary<unknown>> = {
  text: fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('', 'heap', "it's", '\u0000')),
  UBIGINT: fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.constantFrom(...edges)),
  UINTEGER: fc.oneof(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constantFrom(0, 2 ** 31, 2 ** 32 - 1)),
  BOOLEAN: fc.boolean(),
  TIMESTAMP: fc.bigInt({ min: 0n, max: 4_000_000_000_000_000n }),
};
const row = fc.record(
  Object.fromEntries(
    Object.entries(COLUMNS).map(([name, type]) => [name, fc.option(VALUES[type]!, { nil: undefined })]),
  ),
) as fc.Arbitrary<Row>;

async function writeParquet(path: string, groups: AsyncIterable<readonly Row[]>): Promise<void> {
  await writeTemporary(path, groups);
  publish(path);
}

async function* inGroups(groups: readonly (readonly Row[])[]) {
  yield* groups;
}

/** As DuckDB gives them. */
async function readBack(path: string): Promise<Row[]> {
  const rows = await ask(`SELECT * REPLACE (epoch_us(time) AS time) FROM ${from([path])}`);
  return rows.map(
    (row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, value ?? undefined])) as Row,
  );
}

describe('a file', () => {
  test('has every value that was written', { timeout: 120_000 }, async () => {
    const groups = fc.array(fc.array(row, { minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(groups, async (written) => {
        const path = join(folder, 'a.parquet');
        await writeParquet(path, inGroups(written));
        expect(readdirSync(folder)).toEqual(['a.parquet']);
        expect(await readBack(path)).toEqual(written.flat());
        const own: Row[] = [];
        for await (const rows of readParquet(path)) own.push(...rows);
        expect(own).toEqual(written.flat());
      }),
      { numRuns: 15 },
    );
  });

  test('has the types that the document says, and DuckDB finds addresses above 2^63 by their statistics', async () => {
    const path = join(folder, 'a.parquet');
    await writeParquet(path, inGroups([edges.map((va) => ({ va, kind: 'page-in' }))]));
    const types = await ask(`DESCRIBE SELECT * FROM ${from([path])}`);
    const named = { text: 'VARCHAR' } as Record<string, string>;
    expect(Object.fromEntries(types.map((column) => [column['column_name'], column['column_type']]))).toEqual(
      Object.fromEntries(Object.entries(COLUMNS).map(([name, type]) => [name, named[type] ?? type])),
    );
    const above = await ask(`SELECT va FROM ${from([path])} WHERE va > 9223372036854775807 ORDER BY va`);
    expect(above.map(({ va }) => va)).toEqual([2n ** 63n, 0xffff_8880_0000_0000n, 2n ** 64n - 1n]);
  });

  test('a file that could not be written leaves nothing', async () => {
    const failing = async function* (): AsyncGenerator<readonly Row[]> {
      yield [{ kind: 'page-in' }];
      throw new Error('no more');
    };
    await expect(writeParquet(join(folder, 'a.parquet'), failing())).rejects.toThrow('no more');
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('a line as a row', () => {
  const place = { host: 'h', vm: 'v', boot: 'b', session: 's', segment: 3, line: 7, position: 7, after: 5 };
  const at = { time: { us: 12, at: '2026-11-25T21:26:47.220584Z' } };
  const rowOf = (line: string) => rowsOf({ fields: { ...JSON.parse(line), ...at }, place });

  test.each([pageIn, pageOut, protection, restructure, rootGone])('$kind: each value of the event', (event) => {
    const [row, ...others] = rowOf(eventLine(event, 5));
    expect(others).toEqual([]);
    const cause = event.cause ?? undefined;
    expect(row).toMatchObject({
      host: 'h',
      vm: 'v',
      boot: 'b',
      session: 's',
      segment: 3,
      line: 7,
      seq: 5n,
      kind: event.kind,
      time: 1_795_642_007_220_584n,
      time_us: 12n,
      view: event.view,
      root: BigInt(event.root),
      va: event.va,
      ...('pa' in event && { pa: BigInt(event.pa), page_size: BigInt(event.pageSize) }),
      pages: BigInt('pages' in event ? event.pages : 1),
      ...(cause && {
        entry_pa: BigInt(cause.entryPa),
        level: cause.level,
        old_value: cause.oldValue,
        new_value: cause.newValue,
      }),
      tags: JSON.stringify(event.tags),
    });
    expect(row!['vcpu']).toBe(event.vcpu ?? undefined);
  });

  test('rights: effective ones of a protection event, those of the leaf of a page-in', () => {
    expect(rowOf(eventLine(protection, 0))[0]).toMatchObject({
      writable: false,
      executable: false,
      user: true,
      protection_key: 3,
      old_writable: true,
      old_executable: true,
      old_user: true,
      old_protection_key: 0,
    });
    const withEntry = (newValue: bigint, level = 1) =>
      rowOf(eventLine({ ...pageIn, cause: { ...pageIn.cause!, newValue, level } }, 0))[0]!;
    expect(withEntry(0x8000_0000_01a2_b067n)).toMatchObject({ writable: true, executable: false, user: true });
    expect(withEntry(0x1a2_b061n)).toMatchObject({ writable: false, executable: true, user: false });
    expect(withEntry(0x1a2_b0e7n, 2)).toMatchObject({ writable: true });
    // A table: what its entries allow is not known here.
    expect(withEntry(0x1a2_b067n, 2)).not.toHaveProperty('writable');
  });

  test('the process: from its keys, or from the tags of older recordings', () => {
    const owner = (fields: object) => rowOf(eventLine({ ...pageIn, ...fields }, 0))[0];
    expect(owner({ tags: ['x'], pid: 12, comm: 'nginx', map: 'heap' })).toMatchObject({
      pid: 12,
      comm: 'nginx',
      map: 'heap',
    });
    expect(owner({ tags: ['nginx[12]:heap'] })).toMatchObject({ pid: 12, comm: 'nginx', map: 'heap' });
    expect(owner({ tags: ['a[b][12]', 'heap'] })).toMatchObject({ pid: 12, comm: 'a[b]', map: 'heap' });
    expect(owner({ tags: ['buffer'] })).toMatchObject({ pid: undefined, tags: '["buffer"]' });
  });

  test('what is missing has rows of its own', () => {
    const kinds = (fields: object) =>
      rowsOf({ fields: { v: 1, ...fields }, place }).map(({ kind, missing, reason }) => [kind, missing, reason]);
    expect(kinds({ kind: 'gap', count: 7, reason: 'rate limit' })).toEqual([['gap', 7n, 'rate limit']]);
    expect(kinds({ kind: 'gap', count: null, reason: 'killed' })).toEqual([['gap', undefined, 'killed']]);
    expect(kinds({ kind: 'end', ended: 'stopped', lost: { known: 3, unknown: false } })).toEqual([
      ['end', undefined, 'stopped'],
      ['gap', 3n, 'missed by the source'],
    ]);
    expect(
      kinds({ kind: 'end', ended: 'stopped', lost: { known: 0, unknown: true, reasons: ['sampled'] } })[1],
    ).toEqual(['gap', undefined, 'sampled']);
    expect(kinds({ kind: 'end', ended: 'stopped', lost: { known: 0, unknown: false } })).toHaveLength(1);
  });
});
