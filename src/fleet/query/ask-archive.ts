/** Asks an archive by DuckDB, which is loaded only here: it is no dependency of the package. */
import type * as DuckDb from '@duckdb/node-api';
import { PtmonError } from '../../core/error.ts';
import { COLUMNS } from '../archive/parquet.ts';
import { archiveIn, filesOf, partitionsOf } from '../archive/partition.ts';

const MAX_TRIES = 5;

export interface ArchiveRequest {
  /** The folder of an agent or of an archive; or `s3://…`, `https://…`, whose files are read. */
  readonly from: string;
  readonly sql: string;
  /** A condition that the rows of `events` fulfil. */
  readonly where?: string;
}

export interface Answer {
  readonly columns: readonly string[];
  /** In the order of the columns: null, boolean, number, bigint, string; other values as DuckDB prints them. */
  readonly rows: readonly (readonly AnswerValue[])[];
}

export type AnswerValue = null | boolean | number | bigint | string;

/** @throws PtmonError `bad-argument` for a folder without an archive, or a statement that is wrong; `source-unavailable` without DuckDB */
export async function askArchive(request: ArchiveRequest): Promise<Answer> {
  for (let tries = 1; ; tries++) {
    try {
      return await ask(request);
    } catch (error) {
      // A file was renamed or merged since it was listed.
      if (tries === MAX_TRIES || !(error instanceof Error) || !error.message.startsWith('IO Error')) throw error;
    }
  }
}

async function ask(request: ArchiveRequest): Promise<Answer> {
  const source = sourceOf(request.from);
  const { DuckDBInstance } = await loadDuckDb();
  const instance = await DuckDBInstance.create(':memory:');
  try {
    const connection = await instance.connect();
    const condition = request.where === undefined ? '' : ` WHERE ${request.where}`;
    // Seconds do not depend on where the question is asked.
    await connection.run("SET TimeZone = 'UTC'");
    await connection.run(`CREATE VIEW events AS SELECT * FROM ${source}${condition}`);
    const reader = await connection.runAndReadAll(request.sql);
    const rows = reader.getRows().map((row) => row.map(valueOf));
    return { columns: reader.columnNames(), rows };
  } catch (error) {
    // What DuckDB says about the statement names the place in it.
    const message = error instanceof Error ? error.message : String(error);
    throw new PtmonError('bad-argument', message.replaceAll('\t', '  ').trim(), {}, { cause: error });
  } finally {
    instance.closeSync();
  }
}

async function loadDuckDb(): Promise<typeof DuckDb> {
  try {
    return await import('@duckdb/node-api');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new PtmonError(
      'source-unavailable',
      'ptmon query needs DuckDB, which is not installed beside ptmon: npm install @duckdb/node-api (with -g if ptmon was installed with -g)',
    );
  }
}

/** What stands behind FROM. */
function sourceOf(from: string): string {
  const options = 'union_by_name = true, hive_partitioning = false';
  if (/^[a-z0-9]+:\/\//.test(from))
    return `read_parquet(${quoted(`${from.replace(/\/$/, '')}/**/*.parquet`)}, ${options})`;
  const files = partitionsOf(archiveIn(from)).flatMap(filesOf);
  if (files.length > 0) return `read_parquet([${files.map(quoted).join(', ')}], ${options})`;
  // An agent that has not written yet.
  const columns = Object.entries(COLUMNS).map(
    ([name, type]) => `NULL::${type === 'text' ? 'VARCHAR' : type} AS "${name}"`,
  );
  return `(SELECT ${columns.join(', ')} LIMIT 0)`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function valueOf(value: unknown): AnswerValue {
  if (value === null || value === undefined) return null;
  if (typeof value === 'boolean' || typeof value === 'number' || typeof value === 'bigint' || typeof value === 'string')
    return value;
  // DuckDB's own types of values print themselves.
  return (value as { toString(): string }).toString();
}
