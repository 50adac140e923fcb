/** The built command as a process: signals, pipes, exit codes. `npm test` builds it first. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parse } from './run.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const ENDLESS = ['--steps', '1000000000'];
/** Other tests may have the processors. */
const TIMEOUT_MS = 60_000;

interface Ran {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param onOutput called when the first of standard output is here */
async function ran(
  args: readonly string[],
  onOutput: (child: ReturnType<typeof start>) => void = () => {},
): Promise<Ran> {
  const child = start(args);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (stdout === '') onOutput(child);
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { code, signal, stdout, stderr };
}

function start(args: readonly string[]) {
  return spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

describe('the command as a process', { timeout: TIMEOUT_MS }, () => {
  test('exits with 0 and says nothing on standard error', async () => {
    const { code, stdout, stderr } = await ran(['demo', '--sim', '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(parse(stdout).at(-1)).toMatchObject({ kind: 'end', ended: 'finished' });
  });

  test.runIf(process.platform !== 'win32')('SIGUSR1 opens no inspector', async () => {
    const { stderr, signal } = await ran(['demo', '--sim', '--json', ...ENDLESS], (child) => {
      child.kill('SIGUSR1');
      setTimeout(() => child.kill('SIGTERM'), 500);
    });
    expect({ stderr, signal }).toEqual({ stderr: '', signal: null });
  });

  test('exits with 2 for a wrong command line', async () => {
    const { code, stdout, stderr } = await ran(['demo', '--sim', '--seed', 'one']);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^ptmon: --seed one: not an integer/);
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s: the end line, then exit code %i', async (signal, code) => {
    const result = await ran(['demo', '--sim', '--json', ...ENDLESS], (child) => child.kill(signal));
    expect(result).toMatchObject({ code, signal: null, stderr: '' });
    const lines = parse(result.stdout);
    const end = lines.at(-1) as { ended: string; counts: Record<string, number> };
    expect(end).toMatchObject({ kind: 'end', ended: 'stopped' });
    expect(Object.values(end.counts).reduce((sum, n) => sum + n)).toBe(
      lines.filter(({ seq }) => seq !== undefined).length,
    );
  });

  test('a script that cannot be parsed is named, and so is what shows where', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ptmon-script-'));
    const script = join(folder, 'wrong.mjs');
    writeFileSync(script, 'const x = ;');
    const { code, stderr } = await ran(['script', script, '--file', 'traces/fork.trace']);
    rmSync(folder, { recursive: true });
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: `ptmon: ${script}: Unexpected token ';' (node --check ${script} shows where)\n`,
    });
  });

  test('a script that waits for what never comes is named, instead of ending without a word', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ptmon-script-'));
    const script = join(folder, 'stuck.mjs');
    writeFileSync(script, 'await new Promise(() => {});');
    const { code, stderr } = await ran(['script', script, '--file', 'traces/fork.trace']);
    rmSync(folder, { recursive: true });
    expect(code).toBe(2);
    expect(stderr).toMatch(`ptmon: ${script} waits for what can never come: nothing else runs`);
  });

  test.each([
    ['traces', 'traces is a folder: name a script in it'],
    ['/dev/zero', '/dev/zero is a device'],
  ])('a script that is no file is named: %s', async (script, message) => {
    const { code, stderr } = await ran(['script', script, '--file', 'traces/fork.trace']);
    expect({ code, stderr }).toEqual({ code: 2, stderr: `ptmon: ${message}\n` });
  });

  test('SIGINT: people get their summary', async () => {
    const result = await ran(['demo', '--sim', ...ENDLESS], (child) => child.kill('SIGINT'));
    expect(result).toMatchObject({ code: 130, stderr: '' });
    expect(result.stdout).toMatch(/\d+ trapped writes, no events lost, \d+\.\d\d s\nstopped before the end\n$/);
  });

  test.each([[['--json']], [[]]])('a reader that goes away ends it, quietly: demo %j', async (options) => {
    const result = await ran(['demo', '--sim', ...options, ...ENDLESS], (child) => child.stdout.destroy());
    expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(result.stdout).not.toBe('');
  });
});
