/** Asks the archive of an agent. */
import { PtmonError } from '../../../core/error.ts';
import { csvText, jsonLines, tableCells } from '../../../fleet/query/answer-text.ts';
import { type Answer, askArchive } from '../../../fleet/query/ask-archive.ts';
import { QUESTIONS } from '../../../fleet/query/questions.ts';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { parseAddress } from '../../options/values.ts';
import { columns } from '../../output/columns.ts';

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
  const answer = await askArchive({ from, sql, ...(where !== undefined && { where }) });
  await output.write(textOf(answer, options));
}

function statementOf(question: string, { pa }: QueryOptions): string {
  const named = QUESTIONS.find(({ name }) => name === question);
  const needsPa = named?.sql.includes('$pa') === true;
  if (named === undefined && !/\s/.test(question.trim())) {
    const names = QUESTIONS.map(({ name }) => name).join(', ');
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

function textOf(answer: Answer, { json, csv }: QueryOptions): string {
  if (json === true) return jsonLines(answer);
  if (csv === true) return csvText(answer);
  const rows = answer.rows.length === 1 ? '1 row' : `${answer.rows.length} rows`;
  return `${[...columns(tableCells(answer), { gap: 2 }), rows].join('\n')}\n`;
}
