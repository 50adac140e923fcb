import { describe, expect, test } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { failing, Recorder } from '../sinks/examples.ts';

describe('an output that fails', () => {
  test.each([['--json'], []])('because nobody reads it is the end, quietly: demo %s', async (...options) => {
    const stderr = new Recorder();
    expect(await runProgram(['demo', '--steps', '1000000', ...options], { stdout: failing('EPIPE'), stderr })).toBe(0);
    expect(stderr.text).toBe('');
  });

  test.each([['--json'], []])('for any other reason exits with 1 and says so: demo %s', async (...options) => {
    const stderr = new Recorder();
    const stdout = failing('ENOSPC');
    expect(await runProgram(['demo', '--steps', '1000000', ...options], { stdout, stderr })).toBe(1);
    expect(stderr.text).toBe('ptmon: ENOSPC: it fails\n');
  });

  test('leaves no signal caught', async () => {
    const before = process.listenerCount('SIGINT');
    await runProgram(['demo', '--steps', '5'], { stdout: failing('EIO'), stderr: new Recorder() });
    await runProgram(['demo', '--steps', '5'], { stdout: new Recorder(), stderr: new Recorder() });
    expect(process.listenerCount('SIGINT')).toBe(before);
  });
});
