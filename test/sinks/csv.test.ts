import { expect, test } from 'vitest';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { csvSink } from '../../src/sinks/csv.ts';
import { TextOutput } from '../../src/sinks/text-output.ts';
import { pageIn, Recorder } from './examples.ts';

test.each([
  ['=1+2', "'=1+2"],
  ['+1', "'+1"],
  ['-1', "'-1"],
  ['@SUM(A1)', "'@SUM(A1)"],
  ['\t=1', "'\t=1"],
  ['=1,"x"', '"\'=1,""x"""'],
  ['nginx=1', 'nginx=1'],
])('a spreadsheet does not take the tag %j for a formula', async (tag, cell) => {
  const output = new Recorder();
  await csvSink(new TextOutput(output), () => 0).write({ ...pageIn, tags: [tag] } as MonitorEvent);
  expect(output.text).toContain(`,${cell},`);
});
