/** Asks an archive by DuckDB, which is loaded only here: it is no dependency of the package. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import type * as DuckDb from '@duckdb/node-api';
import { errorText, PtmonError } from '../../core/error.ts';
import { cannotRead, unreadable } from '../archive/cannot-read.ts';
import { COLUMNS, DAMAGED_HINT, readParquet } from '../archive/parquet.ts';
import { archiveIn, countedFiles, filesOf, LISTS, partitionsOf } from '../archive/partition.ts';

const MAX_TRIES = 5;
/** What DuckDB says where the system did not let it read a file. */
const CANNOT_READ = /^IO Error: (?:Could not read from|Cannot open) file "(.+?)": (.+)/;
/** What it says of a file that is not there: it takes the path for a folder, which it may not read. */
const IS_LOST = /^Permission Error: .*"(.*[\da-f-]{36}\.parquet)\/\*\*/;
/** Or of one that is damaged. What it cannot unpack is an `Invalid Error` without a name. */
const IS_DAMAGED = /^(IO Error|Invalid Error|Invalid Input Error: .*\.parquet)/s;

export interface ArchiveRequest {
  /** The folder of an agent or of an archive; or the address of such a folder that DuckDB reads: `s3://…`, `file://…`. */
  readonly from: string;
  readonly sql: string;
  /** A condition that the rows of `events` fulfil. */
  readonly where?: string;
}

export interface Answer {
  /** Each name once. */
  readonly columns: readonly string[];
  /**
   * The rows, some at a time, and once: an answer may be larger than the memory of this process. In the order of the columns: null,
   * boolean, number, bigint, string; other values as DuckDB prints them.
   */
  readonly portions: AsyncIterable<readonly AnswerRow[]>;
}

export type AnswerRow = readonly AnswerValue[];

export type AnswerValue = null | boolean | number | bigint | string;

/**
 * @param take uses the answer, which is gone when it resolves
 * @throws PtmonError `bad-argument` for a folder without an archive, or a statement that is wrong or does more than read the archive;
 *   `source-unavailable` without DuckDB, or where the archive cannot be read
 */
export async function askArchive<T>(request: ArchiveRequest, take: (answer: Answer) => Promise<T>): Promise<T> {
  const { DuckDBInstance } = await loadDuckDb();
  for (let tries = 1; ; tries++) {
    const instance = await DuckDBInstance.create(':memory:');
    try {
      const connection = await instance.connect();
      let files: readonly string[] = [];
      let result: DuckDb.DuckDBResult;
      try {
        files = isAddress(request.from) ? await remoteFiles(connection, request.from) : localFiles(request.from);
        result = await ask(connection, request, files);
      } catch (error) {
        if (tries < MAX_TRIES && isStale(request.from, files)) continue;
        throw refusalOf((await damageIn(request.from, errorText(error))) ?? error);
      }
      return await take({ columns: result.deduplicatedColumnNames(), portions: portionsOf(result) });
    } finally {
      instance.closeSync();
    }
  }
}

/** Whether a file was renamed or merged since they were listed. One that is damaged, or cannot be read, is still the same. */
function isStale(from: string, files: readonly string[]): boolean {
  return !isAddress(from) && localFiles(from).join('\n') !== files.join('\n');
}

function localFiles(from: string): readonly string[] {
  try {
    return partitionsOf(archiveIn(from)).flatMap(filesOf);
  } catch (error) {
    throw cannotRead(from, error);
  }
}

async function ask(
  connection: DuckDb.DuckDBConnection,
  { where, sql }: ArchiveRequest,
  files: readonly string[],
): Promise<DuckDb.DuckDBResult> {
  // Seconds do not depend on where the question is asked.
  await connection.run("SET TimeZone = 'UTC'");
  // What has no room in memory; by default that would be in the current folder.
  await connection.run(`SET temp_directory = ${quoted(join(tmpdir(), `ptmon-query-${process.pid}`))}`);
  await allowOnly(connection, files);
  const condition = where === undefined ? '' : ` WHERE (${where}\n)`;
  await runAll(connection, `CREATE VIEW events AS SELECT * FROM ${sourceOf(files)}${condition}`);
  return runAll(connection, sql);
}

/** A statement may be copied from a page, or written by a model: it reads these files, and nothing else. */
async function allowOnly(connection: DuckDb.DuckDBConnection, files: readonly string[]): Promise<void> {
  await connection.run(`SET allowed_paths = [${files.map(quoted).join(', ')}]`);
  await connection.run('SET enable_external_access = false');
  await connection.run('SET lock_configuration = true');
}

/** Returns the result of the last statement. */
async function runAll(connection: DuckDb.DuckDBConnection, sql: string): Promise<DuckDb.DuckDBResult> {
  const { StatementType } = await loadDuckDb();
  // `PIVOT` creates a type first.
  const harmless: readonly DuckDb.StatementType[] = [StatementType.SELECT, StatementType.CREATE];
  const statements = await extract(connection, sql);
  let result: DuckDb.DuckDBResult | undefined;
  for (let index = 0; index < statements.count; index++) {
    const statement = await statements.prepare(index);
    if (!harmless.includes(statement.statementType)) {
      const kind = (StatementType[statement.statementType] ?? 'this').replaceAll('_', ' ');
      throw new PtmonError(
        'bad-argument',
        `${kind}: ptmon query only reads the archive; start with SELECT, FROM or WITH, and redirect the output to a file`,
      );
    }
    result = await statement.run();
  }
  return result!;
}

async function extract(connection: DuckDb.DuckDBConnection, sql: string): Promise<DuckDb.DuckDBExtractedStatements> {
  try {
    return await connection.extractStatements(sql);
  } catch (error) {
    // DuckDB says no more than that of a text of comments.
    if (!(error instanceof Error) || error.message !== 'Error in native callback') throw error;
    throw new PtmonError('bad-argument', `${JSON.stringify(sql)}: no statement in it`, {}, { cause: error });
  }
}

async function* portionsOf(result: DuckDb.DuckDBResult): AsyncGenerator<readonly AnswerRow[]> {
  for await (const rows of result.yieldRows()) yield rows.map((row) => row.map(valueOf));
}

/** The file that is meant where DuckDB names none. */
async function damageIn(from: string, message: string): Promise<PtmonError | undefined> {
  if (!message.startsWith('Invalid Error') || isAddress(from)) return undefined;
  try {
    for (const path of localFiles(from)) for await (const _ of readParquet(path));
    return undefined;
  } catch (error) {
    return error instanceof PtmonError ? error : undefined;
  }
}

function refusalOf(error: unknown): unknown {
  if (error instanceof PtmonError) return error;
  // What DuckDB says about the statement names the place in it.
  const message = errorText(error).replaceAll('\t', '  ').trim();
  const refused = CANNOT_READ.exec(message);
  if (refused !== null) return unreadable(refused[1]!, refused[2]!, error);
  const lost = IS_LOST.exec(message)?.[1];
  if (lost !== undefined || IS_DAMAGED.test(message)) {
    const what = lost === undefined ? message : `${lost}: is not there`;
    return new PtmonError('corrupt-input', `${what}\n${DAMAGED_HINT}`, {}, { cause: error });
  }
  return new PtmonError('bad-argument', message, {}, { cause: error });
}

async function loadDuckDb(): Promise<typeof DuckDb> {
  try {
    return await import('@duckdb/node-api');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new PtmonError(
      'source-unavailable',
      'ptmon query needs DuckDB, which is not beside ptmon: npm install @duckdb/node-api (with -g if ptmon was)',
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
    `${from}: no archive: it has no day=…/host=…/${LISTS}; copy the whole folder "events" of an archive`,
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
    const [why = ''] = errorText(error).split('\n');
    throw new PtmonError(
      'source-unavailable',
      `${from}: DuckDB needs its extension httpfs, which it could not install: ${why}
Copy ~/.duckdb/extensions from a host that has it, or copy the archive to this host, or mount it there, and name that: --from FOLDER`,
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
