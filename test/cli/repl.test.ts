/** `ptmon repl` with a pipe, and at a terminal that `script` makes. `npm test` builds the command first. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test, vi } from 'vitest';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const TRACE = fileURLToPath(new URL('../../traces/tour.trace', import.meta.url));

/** util-linux', whose options these are. */
const noTerminal = spawnSync('script', ['--version']).status !== 0;

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

test.each([
  ['a block', ['1 + 1', 'for (const each of [1]) {', '  console.log(each + 40)'], 'for (const each of [1]) {'],
  ['a text', ['`it is'], '`it is'],
  ['a call that awaits', ['', '  await guest.process(', ''], 'await guest.process('],
])('the input ends within %s: that did not run', (_what, lines, first) => {
  expect(repl(lines)).toMatchObject({
    status: 2,
    stdout: expect.not.stringContaining('41') as string,
    stderr: expect.stringContaining(
      `ptmon: the input ends within a statement, which did not run: ${first}\n`,
    ) as string,
  });
});

test.each([
  ['ends without a line feed', ['6 * 7'], '42'],
  ['was taken back', ['for (;;) {', '.break', '6 * 7'], '42'],
  ['is wrong, not unfinished', ['for (;;) )', '6 * 7'], '42'],
])('a statement that %s is no unfinished one', (_what, lines, says) => {
  expect(repl(lines)).toMatchObject({ status: 0, stdout: expect.stringContaining(says) as string });
});

test('a line that waits for what never comes ends it, and not without a word', () => {
  expect(repl(['await new Promise(() => {})', '6 * 7'])).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('ptmon: a line waits for what can never come') as string,
  });
});

test('nothing to read ends it', () => {
  expect(repl([])).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\s*$/) as string });
});

test('.clear leaves the guest in scope', () => {
  expect(repl(['.clear', 'guest.name']).stdout).toContain(`'${TRACE}'`);
});

/** At a terminal: what it shows, and what is typed. */
function atTerminal() {
  const line = [process.execPath, MAIN, 'repl', '--file', TRACE].map((word) => `'${word}'`).join(' ');
  // A shell that stays would end by the SIGINT that the prompt has survived.
  const child = spawn('script', ['-qec', `exec ${line}`, '/dev/null'], { env: { ...process.env, TERM: 'xterm' } });
  let shown = '';
  child.stdout.on('data', (bytes: Buffer) => (shown += bytes.toString()));
  return {
    child,
    type: (text: string) => child.stdin.write(text),
    /** Waits for a text after what was waited for before. */
    until: (text: string) =>
      vi.waitFor(
        () => {
          const at = shown.indexOf(text);
          if (at < 0) throw new Error(`no ${text} in: ${shown}`);
          shown = shown.slice(at + text.length);
        },
        { timeout: 20_000 },
      ),
  };
}

test.skipIf(noTerminal).each([
  ['an await', 'await new Promise(() => console.log("beg" + "un"))\r'],
  ['a loop', 'console.log("beg" + "un"); for (;;);\r'],
])('Ctrl-C ends %s, and not the prompt', async (_what, line) => {
  const { child, type, until } = atTerminal();
  await until('ptmon> ');
  type(line);
  await until('begun');
  type('\u0003');
  await until('interrupted');
  await until('ptmon> ');
  type('6 * 7\r');
  await until('42');
  type('\u0004');
  expect(await once(child, 'exit')).toEqual([0, null]);
});

test('a signal ends it while a line awaits something', async () => {
  const child = spawn(process.execPath, [MAIN, 'repl', '--file', TRACE]);
  child.stdin.write('console.log("begun"); await new Promise(() => setInterval(() => {}, 1000))\n');
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([143, null]);
});

test('a timer that is left does not keep it', () => {
  expect(repl(['setInterval(() => {}, 1000); 6 * 7'])).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('42') as string,
  });
});

test('two guests are one too many', () => {
  const { status, stderr } = spawnSync(process.execPath, [MAIN, 'repl', '--file', TRACE, '--qmp', '/q'], {
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({
    status: 2,
    stderr: 'ptmon: --file already names the guest: leave out --qmp and --gdb\n',
  });
});
