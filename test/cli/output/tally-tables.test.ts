import { Ansis } from 'ansis';
import { expect, test } from 'vitest';
import { tallyTables } from '../../../src/cli/output/tally-tables.ts';
import { widthOf } from '../../../src/sinks/text-width.ts';

test('a name that is too long or too wide moves no column, and keeps its PID', () => {
  const names = ['redis-server[1234567]', '数据库服务器[12]', 'sh[3]'];
  const sums = new Map(names.map((name) => [name, { in: 4, out: 2 }]));
  const [heading, ...lines] = tallyTables(['process', sums], ['entry', new Map()], new Ansis(0));
  const end = widthOf(heading!.slice(0, heading!.indexOf('out') + 3));
  expect(lines.map((line) => widthOf(line))).toEqual([end, end, end]);
  for (const [index, name] of names.entries()) expect(lines[index]).toContain(/\[\d+\]/.exec(name)![0]);
});
