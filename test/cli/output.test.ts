import { describe, expect, test } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { failing, Recorder } from '../sinks/examples.ts';

const FORMS = [[['demo', '--sim']], [['demo', '--sim', '--json']]];

describe('an output that fails', { timeout: 60_000 }, () => {
  test.each(FORMS)('because nobody reads it is the end, quietly: %j', async (args) => {
    const stderr = new Recorder();
    expect(await runProgram([...args, '--steps', '1000000'], { stdout: failing('EPIPE'), stderr })).toBe(0);
    expect(stderr.text).toBe('');
  });

  test.each(FORMS)('for any other reason exits with 1 and says so: %j', async (args) => {
    const stderr = new Recorder();
    const stdout = failing('ENOSPC');
    expect(await runProgram([...args, '--steps', '1000000'], { stdout, stderr })).toBe(1);
    expect(stderr.text).toBe('ptmon: ENOSPC: it fails\n');
  });

  test('leaves no signal caught', async () => {
    const before = process.listenerCount('SIGINT');
    await runProgram(['demo', '--sim', '--steps', '5'], { stdout: failing('EIO'), stderr: new Recorder() });
    await runProgram(['demo', '--sim', '--steps', '5'], { stdout: new Recorder(), stderr: new Recorder() });
    expect(process.listenerCount('SIGINT')).toBe(before);
  });
});
