import { describe, expect, test } from 'vitest';
import { VERSION } from '../../src/sinks/version.ts';
import { run } from './run.ts';

describe('a wrong command line exits with 2, names what is wrong and what would be right, and prints no data', () => {
  test.each([
    [[], ['Usage: ptmon', 'demo']],
    [['dmeo'], ['ptmon: unknown command dmeo; did you mean demo? (see ptmon --help)']],
    [['--jsno'], ['unknown option --jsno', 'ptmon --help']],
    [
      ['demo', '--sed', '1'],
      ['unknown option --sed; did you mean --seed?', 'ptmon demo --help'],
    ],
    [['demo', '--seed'], ['--seed: its value <n> is missing']],
    [['demo', '--seed', 'x'], ['ptmon: --seed x: not an integer from 0 to 4294967295']],
    [['demo', '--seed', '-1'], ['--seed -1: not an integer from 0']],
    [['demo', '--steps', '0'], ['--steps 0: not an integer from 1 to 1000000000']],
    [['demo', '--steps', '1.5'], ['--steps 1.5: not an integer']],
    [['demo', '--vcpus', '17'], ['--vcpus 17: not an integer from 1 to 16']],
    [['demo', '--mode', '3-level'], ['--mode 3-level: not one of 4-level, 5-level, pae, 32-bit']],
    [
      ['demo', '--kinds', 'all'],
      ['--kinds all: unknown name "all"', 'protection,restructure,root-gone'],
    ],
    [['demo', 'now'], ['no recording "now" in this package; give one of tour, boot, fork, huge, swap']],
    [['demo', 'tour', 'fork'], ['too many arguments: 2 given, ptmon demo takes 1 (see']],
    [['top', 'tour'], ['too many arguments: 1 given, ptmon top takes none (see']],
    [
      ['demo', '--seed', '4'],
      ['--seed needs the simulated guest', 'ptmon demo --sim --seed <n>'],
    ],
    [
      ['demo', '--sim', '--speed', '2'],
      ['--speed belongs to a recording', 'drop one'],
    ],
    [
      ['demo', '--sim', 'tour'],
      ['tour belongs to a recording', 'drop one'],
    ],
    [['replay'], ['the argument <file> is missing']],
    [['dump', 'x', '-o'], ['ptmon: --output: its value <folder> is missing (see ptmon dump --help)']],
    [['replay', 'x', '--speed', '0'], ['--speed 0: must be a positive number']],
  ] as const)('%j', async (args, expected) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    for (const text of expected) expect(stderr).toContain(text);
    if (args.length > 0) expect(stderr.trimEnd()).not.toContain('\n');
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

describe('missing files have the same words everywhere', () => {
  test.each([
    ['run --kernel /nowhere/file', '/nowhere/file does not exist'],
    ['run --kernel /', '/ is not a file'],
    ['run --qemu /nowhere/file', '/nowhere/file does not exist'],
    ['run --qemu /', '/ is not a file'],
    ['run --qemu no-such-qemu', 'no-such-qemu: there is no such program on the PATH'],
    ['map /nowhere/file', '/nowhere/file does not exist'],
    ['ps --qmp /nowhere/file --gdb /nowhere/file', 'unix:/nowhere/file does not exist'],
    ['watch --qmp /nowhere/file --pid 1', 'unix:/nowhere/file does not exist'],
    ['replay /nowhere/file', '/nowhere/file does not exist'],
  ])('%s', async (line, message) => {
    const { code, stderr } = await run(line.split(' '));
    expect(stderr.replaceAll(/\s+/g, ' ').trim()).toBe(`ptmon: ${message}`);
    expect(code).toBe(3);
  });
});

test('on a terminal, what is wrong with the command line wraps between words', async () => {
  const { Recorder } = await import('../sinks/examples.ts');
  const { runProgram } = await import('../../src/cli/program.ts');
  const stderr = Object.assign(new Recorder(), { isTTY: true, columns: 80 });
  expect(await runProgram(['run', '--name', 'x'], { stdout: new Recorder(), stderr, vms: () => [] })).toBe(2);
  const lines = stderr.text.trimEnd().split('\n');
  expect(lines.length).toBe(2);
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  expect(lines.join(' ')).toMatch(/^ptmon: unknown option --name; did you mean one of .*\? \(see ptmon run --help\)$/);
});
