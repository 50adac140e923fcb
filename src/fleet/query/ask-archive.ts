/** Asks an archive by DuckDB, which is loaded only here: it is no dependency of the package. */
import type * as DuckDb from '@duckdb/node-api';
import { PtmonError } from '../../core/error.ts';
import { COLUMNS } from '../archive/parquet.ts';
import { archiveIn, countedFiles, filesOf, LISTS, partitionsOf } from '../archive/partition.ts';

const MAX_TRIES = 5;

export interface ArchiveRequest {
  /** The folder of an agent or of an archive; or the address of such a folder that DuckDB reads: `s3://…`, `file://…`. */
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
  const local = isAddress(request.from) ? undefined : partitionsOf(archiveIn(request.from)).flatMap(filesOf);
  const { DuckDBInstance } = await loadDuckDb();
  const instance = await DuckDBInstance.create(':memory:');
  try {
    const connection = await instance.connect();
    const source = sourceOf(local ?? (await remoteFiles(connection, request.from)));
    const condition = request.where === undefined ? '' : ` WHERE ${request.where}`;
    // Seconds do not depend on where the question is asked.
    await connection.run("SET TimeZone = 'UTC'");
    await connection.run(`CREATE VIEW events AS SELECT * FROM ${source}${condition}`);
    const reader = await connection.runAndReadAll(request.sql);
    const rows = reader.getRows().map((row) => row.map(valueOf));
    return { columns: reader.columnNames(), rows };
  } catch (error) {
    if (error instanceof PtmonError) throw error;
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

function isAddress(from: string): boolean {
  return /^[a-z0-9]+:\/\//.test(from);
}

/** The files that count, as the lists in the folders say: others are those before or after a merge. */
async function remoteFiles(connection: DuckDb.DuckDBConnection, from: string): Promise<readonly string[]> {
  const scheme = from.slice(0, from.indexOf(':'));
  if (scheme !== 'file') await loadHttpfs(connection, from);
  const folder = from.replace(/\/+$/, '');
  const reader = await connection.runAndReadAll(
    `SELECT filename, content FROM read_text(${quoted(`${folder}/**/${LISTS}`)})`,
  );
  const lists = reader.getRows().map(([path, content]) => [String(path), String(content)] as const);
  if (lists.length > 0) return countedFiles(lists);
  throw new PtmonError(
    'bad-argument',
    `${from}: no archive: it has no day=…/host=…/${LISTS}; copy the folder events of an archive with all that is in it`,
  );
}

/** DuckDB's extension for object stores is no part of its package. */
async function loadHttpfs(connection: DuckDb.DuckDBConnection, from: string): Promise<void> {
  try {
    await connection.run('LOAD httpfs').catch(async () => {
      await connection.run('INSTALL httpfs');
      await connection.run('LOAD httpfs');
    });
  } catch (error) {
    const [why = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw new PtmonError(
      'source-unavailable',
      `${from}: DuckDB needs its extension httpfs, which it could not install: ${why}
Where this host has no access to extensions.duckdb.org, copy ~/.duckdb/extensions from one that has, or copy the archive to a folder of this host, or mount it there, and name that: --from FOLDER`,
      {},
      { cause: error },
    );
  }
}

/** What stands behind FROM. */
function sourceOf(files: readonly string[]): string {
  const options = 'union_by_name = true, hive_partitioning = false';
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
