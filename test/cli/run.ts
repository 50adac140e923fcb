/** Runs command lines in this process, and looks at what they say. */
import { Recorder } from '../sinks/examples.ts';
import { runProgram } from '../../src/cli/program.ts';

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param terminal properties of standard output, such as `columns` */
export async function run(args: readonly string[], terminal: object = {}): Promise<Outcome> {
  const stdout = Object.assign(new Recorder(), terminal);
  const stderr = new Recorder();
  // Other tests may run VMs on this host.
  const code = await runProgram(args, { stdout, stderr, vms: () => [] });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

/** The lines of a JSONL stream. */
export function parse(jsonl: string): Record<string, unknown>[] {
  const lines = jsonl.split('\n');
  if (lines.pop() !== '') throw new Error('the last line has no end');
  return lines.map((line) => JSON.parse(line));
}
