/** `ptmon query`. */
import { type Command, Option } from 'commander';
import type { CommandContext } from '../../context.ts';
import { addJsonOption } from '../../options/events.ts';
import { addHelp } from '../../options/help.ts';
import type { QueryOptions } from './run-query.ts';

const HELP = `
QUERY is SQL over the table "events" (docs/formats/parquet.md), or one of these
built-in queries:
  wx-after-start      pages that became writable and executable within a minute
                      of the start of their program
  shared-frames       frames of private memory that two processes map at the
                      same time, at least one of the mappings writable
  busiest-processes   processes with the most events
  lost-events         VMs whose events are not complete, and why
  frame-life          what processes did with one frame (--pa)

query needs DuckDB: npm install @duckdb/node-api.

Examples:
  ptmon query wx-after-start
  ptmon query busiest-processes --where "vm = 'web-1'"
  ptmon query frame-life --pa 0x1a2b000 --csv
  ptmon query "SELECT vm, kind, count(*) FROM events GROUP BY ALL" --json
`;

export function defineQuery(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  addJsonOption(
    command
      .argument('<query>', 'SQL, or the name of a built-in query')
      .option('--from <folder>', 'folder of an agent or an archive, or the address of a copy: s3://…', '/var/lib/ptmon')
      .option('--where <condition>', 'only rows that match this SQL condition')
      .option('--pa <address>', 'for frame-life: physical address of the frame, 0x…')
      .option('--sql', 'print the SQL of a built-in query, and exit'),
  )
    .addOption(new Option('--csv', 'print CSV instead of a table').conflicts('json'))
    .action(async (question: string, options: QueryOptions) => {
      const { runQuery } = await import('./run-query.ts');
      await runQuery(question, options, context.output);
    });
}
