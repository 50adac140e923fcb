/** The built command as a process that records, and what is left when it ends in one way or another. `npm test` builds it first. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { TraceReader } from '../../src/drivers/trace/index.ts';
import { temporaryFolder } from '../drivers/trace/temporary-folder.ts';
import { parse, run } from './run.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const file = temporaryFolder();
const ENDLESS = ['demo', '--sim', '--json', '--steps', '1000000000', '--seed', '11'];

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

type Child = ChildProcessByStdio<null, Readable, Readable>;

/** @param while_ done while it runs */
async function ended(child: Child, while_: () => Promise<void> = async () => {}): Promise<Ended> {
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  await while_();
  const [code, signal] = await closed;
  return { code, signal, stdout, stderr };
}

function start(...args: readonly string[]): Child {
  return spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Lines of events, without those that were cut. */
function eventLines(jsonl: string): string[] {
  return jsonl
    .slice(0, jsonl.lastIndexOf('\n'))
    .split('\n')
    .filter((line) => line !== '' && !line.includes('"kind":"end"'));
}

describe('a recording', { timeout: 60_000 }, () => {
  test('that is killed leaves a file that says all up to its last block', async () => {
    const path = file('killed.trace');
    const child = start(...ENDLESS, '--record', path);
    const { signal, stdout } = await ended(child, async () => {
      await expect.poll(() => sizeOf(path), { timeout: 30_000 }).toBeGreaterThan(20_000);
      child.kill('SIGKILL');
    });
    expect(signal).toBe('SIGKILL');

    const replayed = await run(['replay', path, '--json']);
    expect(replayed.code).toBe(4);
    expect(replayed.stderr).toMatch(/at byte \d+ .*: (the trace has no end record|the file ends within)/);
    // What was killed may have had no time to print all that it had recorded.
    const [live, again] = [eventLines(stdout), eventLines(replayed.stdout)];
    const both = Math.min(live.length, again.length);
    expect(both).toBeGreaterThan(300);
    expect(again.slice(0, both)).toEqual(live.slice(0, both));
  });

  test('that is interrupted is whole, and is replayed as it was', async () => {
    const path = file('interrupted.trace');
    const child = start(...ENDLESS, '--record', path);
    const live = await ended(child, async () => {
      await once(child.stdout, 'data');
      child.kill('SIGINT');
    });
    expect(live).toMatchObject({ code: 130, stderr: '' });
    expect(await run(['replay', path, '--json'])).toEqual({ code: 0, stdout: live.stdout, stderr: '' });
    expect(parse(live.stdout).at(-1)).toMatchObject({ ended: 'stopped' });
  });

  test('that ends by itself is whole', async () => {
    const path = file('quiet.trace');
    const child = start('demo', '--sim', '--record', path, '--steps', '60');
    const { code } = await ended(child);
    expect(code).toBe(0);
    const reader = new TraceReader(path);
    expect([...reader.instants()].length).toBeGreaterThan(50);
    expect(reader.end).toMatchObject({ ended: 'finished' });
    reader.close();
  });

  test.runIf(process.platform === 'linux')(
    'on a full disk ends with a clear word; what was written is good',
    async () => {
      const path = file('full.trace');
      // A file that may not grow is as good as a disk that is full, and takes no rights to make.
      const limited = `trap '' XFSZ; ulimit -f 16; exec "$0" "$@"`;
      const args = ['-c', limited, process.execPath, MAIN, ...ENDLESS, '--record', path];
      const full = await ended(spawn('sh', args, { stdio: ['ignore', 'pipe', 'pipe'] }));
      expect(full.code).toBe(1);
      expect(full.stderr).toMatch(/^ptmon: \S+full\.trace cannot be written to: EFBIG\n$/);
      expect(parse(full.stdout).at(-1)).toMatchObject({
        kind: 'end',
        ended: 'failed',
        failure: { code: 'write-failed' },
      });
      const replayed = await run(['replay', path, '--json']);
      expect(replayed.code).toBe(4);
      const again = eventLines(replayed.stdout);
      // It may have been cut within its first block.
      expect(again).toEqual(eventLines(full.stdout).slice(0, again.length));

      const none = await ended(start(...ENDLESS, '--record', '/dev/full'));
      expect(none).toMatchObject({ code: 1, stdout: '' });
      expect(none.stderr).toBe('ptmon: /dev/full cannot be written to: there is no space left\n');
    },
  );

  test.each([
    [file('none/x.trace'), 'its folder does not exist'],
    ['/', 'EISDIR'],
  ])('to %s is refused at once', async (path, why) => {
    const { code, stdout, stderr } = await run(['demo', '--sim', '--record', path]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(why);
  });
});
