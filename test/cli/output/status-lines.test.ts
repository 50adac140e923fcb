import { expect, test } from 'vitest';
import { printStatus } from '../../../src/cli/output/status-lines.ts';
import { TextOutput } from '../../../src/sinks/text-output.ts';
import { widthOf } from '../../../src/sinks/text-width.ts';
import { Recorder } from '../../sinks/examples.ts';

const LINE = 'Exact: the guest stops after each write to a watched entry. Memory: RAM file /dev/shm/vm/ram';

async function printed(text: string, properties: object): Promise<string[]> {
  const stream = Object.assign(new Recorder(), properties);
  await printStatus(new TextOutput(stream), text);
  return stream.text.split('\n');
}

test('a status line wraps between words on a terminal, and nowhere else', async () => {
  const lines = await printed(LINE, { isTTY: true, columns: 40 });
  expect(lines.length).toBeGreaterThan(3);
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(40);
  expect(lines.join(' ').trim()).toBe(LINE);
  expect(await printed(LINE, {})).toEqual([LINE, '']);
});

test('wide characters take two columns', async () => {
  const lines = await printed('process 数据库服务器 数据库服务器 is watched', { isTTY: true, columns: 40 });
  expect(lines.length).toBeGreaterThan(2);
  for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(40);
});

test('names of the guest cannot steer the terminal', async () => {
  expect(await printed('process \x1b[2J\nended', {})).toEqual(['process \\x1b[2J', 'ended', '']);
});

test('no text, no line', async () => {
  expect(await printed('', {})).toEqual(['']);
});
