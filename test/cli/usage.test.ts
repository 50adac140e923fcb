import { describe, expect, test } from 'vitest';
import { VERSION } from '../../src/sinks/version.ts';
import { run } from './run.ts';

describe('a wrong command line exits with 2, names what is wrong and what would be right, and prints no data', () => {
  test.each([
    [[], ['Usage: ptmon', 'demo']],
    [['dmeo'], ["unknown command 'dmeo'", 'Did you mean demo?', 'ptmon takes: demo', 'ptmon --help']],
    [['--jsno'], ["unknown option '--jsno'", 'ptmon --help']],
    [
      ['demo', '--sed', '1'],
      ["unknown option '--sed'", 'Did you mean --seed?', 'ptmon demo --help'],
    ],
    [['demo', '--seed'], ["option '--seed <n>' argument missing"]],
    [
      ['demo', '--seed', 'x'],
      ["'--seed <n>' argument 'x' is invalid", 'a whole number from 0 to 4294967295'],
    ],
    [
      ['demo', '--seed', '-1'],
      ["'--seed <n>' argument '-1' is invalid", 'a whole number from 0'],
    ],
    [
      ['demo', '--steps', '0'],
      ["'--steps <n>' argument '0' is invalid", 'a whole number from 1 to 1000000000'],
    ],
    [
      ['demo', '--steps', '1.5'],
      ["argument '1.5' is invalid", 'a whole number'],
    ],
    [
      ['demo', '--vcpus', '17'],
      ["'--vcpus <n>' argument '17' is invalid", 'a whole number from 1 to 16'],
    ],
    [
      ['demo', '--mode', '3-level'],
      ["argument '3-level' is invalid", '4-level, 5-level, pae, 32-bit'],
    ],
    [
      ['demo', '--kinds', 'all'],
      ["argument 'all' is invalid", 'protection,restructure,root-gone'],
    ],
    [['demo', 'now'], ['there is no trace "now" here; there are: tour, boot, fork, huge, swap']],
    [['demo', 'tour', 'fork'], ['too many arguments']],
    [
      ['demo', '--seed', '4'],
      ['--seed is for the simulated guest', 'ptmon demo --sim --seed <n>'],
    ],
    [
      ['demo', '--sim', '--speed', '2'],
      ['--speed is for a recorded guest', 'not both'],
    ],
    [
      ['demo', '--sim', 'tour'],
      ['tour is for a recorded guest', 'not both'],
    ],
    [['replay'], ["missing required argument 'file'"]],
    [
      ['replay', 'x', '--speed', '0'],
      ["argument '0' is invalid", 'a number above 0'],
    ],
  ] as const)('%j', async (args, expected) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    for (const text of expected) expect(stderr).toContain(text);
    expect(stderr).not.toMatch(/\n\s+at /);
  });
});

describe('what is asked for goes to standard output', () => {
  test('the version', async () => {
    for (const option of ['-V', '--version']) {
      expect(await run([option])).toEqual({ code: 0, stdout: `${VERSION}\n`, stderr: '' });
    }
  });

  test.each([[['--help']], [['help']], [['-h']]])('%j: the commands and the exit codes', async (args) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const text of ['Usage: ptmon', 'demo', 'Exit codes:', '130']) expect(stdout).toContain(text);
  });

  test.each([[['demo', '--help']], [['help', 'demo']]])('%j: every option and examples', async (args) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const options = '--json --seed --steps --after --vcpus --mode --isolation --self-map --kinds'.split(' ');
    for (const text of [...options, 'Examples:']) expect(stdout).toContain(text);
  });

  test.each([80, 120])('help fits a terminal of %i columns', async (columns) => {
    for (const args of [['--help'], ['demo', '--help'], ['replay', '--help']]) {
      const { stdout } = await run(args, { columns });
      for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(columns);
    }
  });
});
