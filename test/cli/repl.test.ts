/** `ptmon repl` with a pipe in place of a terminal. `npm test` builds the command first. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const TRACE = fileURLToPath(new URL('../../traces/tour.trace', import.meta.url));

function repl(lines: readonly string[]) {
  return spawnSync(process.execPath, [MAIN, 'repl', '--file', TRACE], { input: lines.join('\n'), encoding: 'utf8' });
}

test('a line waits for what the line before awaits, over several lines, errors and blank lines', () => {
  const { status, stdout } = repl([
    'const two = await new Promise((resolve) => setTimeout(() => resolve(2), 50))',
    '',
    'for (const each of [two]) {',
    'console.log(each * 21) }',
    'await guest.process(1)',
    '1000 + two',
  ]);
  expect(stdout).toMatch(/42\n(?:.*\n)*.*PtmonError(?:.*\n)*.*1002\n/);
  expect(status).toBe(0);
});

test('nothing to read ends it', () => {
  expect(repl([])).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\s*$/) as string });
});
