/** Files of the archive: Parquet, with the columns of docs/formats/parquet.md. */
import { renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, type SchemaElement } from 'hyparquet';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { PtmonError } from '../../core/error.ts';
import { cannotRead } from './cannot-read.ts';
import { syncFolder } from '../journal/segment.ts';
import { VERSION } from '../../sinks/version.ts';
import type { Row } from './row.ts';
import { writeSynced } from '../journal/write-synced.ts';

export type ColumnType = 'text' | 'UBIGINT' | 'UINTEGER' | 'BOOLEAN' | 'TIMESTAMP';

/** By name. A column may be added; its meaning and its type do not change. */
export const COLUMNS: Readonly<Record<string, ColumnType>> = {
  host: 'text',
  vm: 'text',
  boot: 'text',
  session: 'text',
  segment: 'UINTEGER',
  line: 'UINTEGER',
  seq: 'UBIGINT',
  time: 'TIMESTAMP',
  time_us: 'UBIGINT',
  kind: 'text',
  view: 'UINTEGER',
  root: 'UBIGINT',
  va: 'UBIGINT',
  pa: 'UBIGINT',
  page_size: 'UBIGINT',
  pages: 'UBIGINT',
  old_page_size: 'UBIGINT',
  writable: 'BOOLEAN',
  executable: 'BOOLEAN',
  user: 'BOOLEAN',
  protection_key: 'UINTEGER',
  old_writable: 'BOOLEAN',
  old_executable: 'BOOLEAN',
  old_user: 'BOOLEAN',
  old_protection_key: 'UINTEGER',
  pid: 'UINTEGER',
  comm: 'text',
  map: 'text',
  tags: 'text',
  vcpu: 'UINTEGER',
  entry_pa: 'UBIGINT',
  level: 'UINTEGER',
  old_value: 'UBIGINT',
  new_value: 'UBIGINT',
  old_meaning: 'text',
  new_meaning: 'text',
  missing: 'UBIGINT',
  reason: 'text',
};

/** Ascending or nearly so: their differences are small. */
const ASCENDING = new Set(['segment', 'line', 'seq', 'time', 'time_us']);

const TYPES: Readonly<Record<ColumnType, Omit<SchemaElement, 'name'>>> = {
  text: { type: 'BYTE_ARRAY', converted_type: 'UTF8' },
  UBIGINT: { type: 'INT64', converted_type: 'UINT_64' },
  UINTEGER: { type: 'INT32', converted_type: 'UINT_32' },
  BOOLEAN: { type: 'BOOLEAN' },
  TIMESTAMP: { type: 'INT64', converted_type: 'TIMESTAMP_MICROS' },
};

const SCHEMA: SchemaElement[] = [
  { name: 'event', num_children: Object.keys(COLUMNS).length },
  ...Object.entries(COLUMNS).map(([name, type]) => ({ name, repetition_type: 'OPTIONAL' as const, ...TYPES[type] })),
];

/** What to do about a file that is damaged. */
export const DAMAGED_HINT =
  'A file of the archive is damaged or lost: docs/formats/parquet.md says how to go on without it.';

/** So many rows are in memory at once. */
export const GROUP_ROWS = 50_000;

/** Writes a file under a name that no reader takes, and syncs it. */
export async function writeTemporary(path: string, groups: AsyncIterable<readonly Row[]>): Promise<void> {
  const writer = new ByteWriter();
  const file = new ParquetWriter({
    writer,
    schema: SCHEMA,
    codec: 'GZIP',
    compressors: { GZIP: (bytes) => gzipSync(bytes) },
    createdBy: `ptmon ${VERSION}`,
  });
  for await (const rows of groups) {
    await file.write({ columnData: columnsOf(rows), rowGroupSize: GROUP_ROWS });
  }
  await file.finish();
  writeSynced(temporaryOf(path), new Uint8Array(writer.getBuffer()));
}

/** Gives a file that was written its name. */
export function publish(path: string): void {
  renameSync(temporaryOf(path), path);
  syncFolder(dirname(path));
}

export function temporaryOf(path: string): string {
  return `${path}.tmp`;
}

/**
 * The rows of a file, some at a time.
 *
 * @param columns those that are read; defaults to all
 * @throws PtmonError `corrupt-input` where it is damaged; the system's error where it cannot be read
 */
export async function* readParquet(
  path: string,
  columns?: readonly string[],
): AsyncGenerator<readonly Row[], void, undefined> {
  try {
    yield* rowsOf(path, columns);
  } catch (error) {
    // Merged meanwhile, perhaps.
    if (!(error instanceof Error) || ('code' in error && error.code === 'ENOENT')) throw error;
    if ('syscall' in error) throw cannotRead(path, error);
    throw new PtmonError('corrupt-input', `${path}: ${error.message}\n${DAMAGED_HINT}`, {}, { cause: error });
  }
}

async function* rowsOf(path: string, columns?: readonly string[]): AsyncGenerator<readonly Row[], void, undefined> {
  const file = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(file);
  const count = Number(metadata.num_rows);
  for (let rowStart = 0; rowStart < count; rowStart += GROUP_ROWS) {
    const rowEnd = Math.min(count, rowStart + GROUP_ROWS);
    // Times stay as they are in the file: a Date has milliseconds.
    const compressors = { GZIP: (bytes: Uint8Array) => gunzipSync(bytes) };
    const parsers = { timestampFromMicroseconds: (micros: bigint) => micros };
    const range = { rowStart, rowEnd, ...(columns && { columns: [...columns] }) };
    const rows = await parquetReadObjects({ file, metadata, ...range, parsers, compressors });
    yield rows.map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, value ?? undefined])));
  }
}

function columnsOf(rows: readonly Row[]) {
  return Object.keys(COLUMNS).map((name) => ({
    name,
    data: rows.map((row) => row[name]),
    ...(ASCENDING.has(name) && { encoding: 'DELTA_BINARY_PACKED' as const }),
  }));
}
