/** Asks the archive of an agent. */
import { PtmonError } from '../../../core/error.ts';
import { cellsOf, csvText, jsonLines, tableCells } from '../../../fleet/query/answer-text.ts';
import { type Answer, type AnswerRow, askArchive } from '../../../fleet/query/ask-archive.ts';
import { BUILT_IN_QUERIES } from '../../../fleet/query/built-in-queries.ts';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { parseAddress } from '../../options/values.ts';
import { columns as inColumns } from '../../output/columns.ts';

/** A longer table is for a program. */
const MAX_TABLE_ROWS = 10_000;

export interface QueryOptions {
  readonly from: string;
  readonly where?: string;
  readonly pa?: string;
  readonly sql?: boolean;
  readonly json?: boolean;
  readonly csv?: boolean;
}

/** @throws PtmonError `bad-argument` for a question that is none; as `askArchive` */
export async function runQuery(question: string, options: QueryOptions, output: TextOutput): Promise<void> {
  const sql = statementOf(question, options);
  if (options.sql === true) return output.write(`${sql}\n`);
  const { from, where } = options;
  const request = { from, sql, ...(where !== undefined && { where }) };
  await askArchive(request, (answer) => print(answer, options, output));
}

function statementOf(question: string, { pa }: QueryOptions): string {
  const named = BUILT_IN_QUERIES.find(({ name }) => name === question.trim());
  const needsPa = named?.sql.includes('$pa') === true;
  if (named === undefined && !/\s/.test(question.trim())) {
    const names = BUILT_IN_QUERIES.map(({ name }) => name).join(', ');
    throw new PtmonError('bad-argument', `"${question}": neither SQL nor one of ${names}`);
  }
  if (pa !== undefined && !needsPa) throw new PtmonError('bad-argument', '--pa is for frame-life');
  if (!needsPa) return named?.sql ?? question;
  const address = pa === undefined ? undefined : parseAddress(pa);
  if (address === undefined) {
    const what = pa === undefined ? 'frame-life needs the frame: --pa 0x…' : `--pa ${pa}: not a hexadecimal address`;
    throw new PtmonError('bad-argument', what);
  }
  return named.sql.replaceAll('$pa', `${address - (address % 4096n)}::UBIGINT`);
}

/** JSON and CSV row by row, whatever their number; a table only after its last row, because its columns are as wide as their values. */
async function print({ columns, portions }: Answer, { json, csv }: QueryOptions, output: TextOutput): Promise<void> {
  if (csv === true) await output.write(csvText([columns]));
  const shown: AnswerRow[] = [];
  let count = 0;
  for await (const rows of portions) {
    if (output.closed.aborted) return;
    if (json === true) await output.write(jsonLines(columns, rows));
    else if (csv === true) await output.write(csvText(cellsOf(columns, rows)));
    else shown.push(...rows.slice(0, MAX_TABLE_ROWS - shown.length));
    count += rows.length;
  }
  if (json === true || csv === true) return;
  const total = count === 1 ? '1 row' : `${count} rows`;
  const rest = count > shown.length ? `, of which these are the first ${shown.length}: --json and --csv print all` : '';
  const table = tableCells([columns, ...cellsOf(columns, shown)]);
  await output.write(`${[...inColumns(table, { gap: 2 }), `${total}${rest}`].join('\n')}\n`);
}
