/** DuckDB: a reader of the archive that shares no code with what wrote it. */
import { DuckDBInstance } from '@duckdb/node-api';

export type DuckRow = Record<string, unknown>;

export async function ask(sql: string): Promise<DuckRow[]> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    await connection.run("SET TimeZone = 'UTC'");
    return (await connection.runAndReadAll(sql)).getRowObjects();
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

/** The files as a table. */
export function from(files: readonly string[]): string {
  return `read_parquet([${files.map((file) => `'${file.replaceAll("'", "''")}'`).join(', ')}], hive_partitioning = false)`;
}
