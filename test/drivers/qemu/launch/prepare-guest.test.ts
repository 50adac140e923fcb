import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { prepareGuest } from '../../../../src/drivers/qemu/launch/prepare-guest.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** A machine whose compiler, the first program that is called, notes its process and does what `then` says. */
function machine(then: string): { readonly cache: string; pid(): number | undefined } {
  const folder = temporaryFolder({
    'bin/cc': `#!/bin/sh\necho $$ > "$FAKE/pid"\n${then}\n`,
  });
  const cache = join(folder, 'cache');
  const variables = {
    PATH: `${folder}/bin:/usr/bin:/bin`,
    FAKE: folder,
    CC: join(folder, 'bin/cc'),
    PTMON_GUEST_DIR: cache,
  };
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
  onTestFinished(() => void vi.unstubAllEnvs());
  const file = join(folder, 'pid');
  return { cache, pid: () => (existsSync(file) ? Number(readFileSync(file, 'utf8')) || undefined : undefined) };
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}/stat`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
}

describe('making the guest', () => {
  test('fails with the last words of what failed', async () => {
    machine('echo "cannot find -lc" >&2; exit 100');
    const lines: string[] = [];
    await expect(prepareGuest({ onLine: (line) => lines.push(line) })).rejects.toMatchObject({
      code: 'source-unavailable',
      message: expect.stringContaining('cannot find -lc') as string,
    });
    expect(lines.join('\n')).toContain('cannot find -lc');
  });

  test.each([
    ['that ends when it is asked to: nothing is left', 'exec sleep 60', 0],
    ['that has to be killed', "trap '' TERM; sleep 60; sleep 60", 1],
  ])('ends when it is told to, with a program %s', async (_, then, left) => {
    const { cache, pid } = machine(then);
    const stop = new AbortController();
    const made = prepareGuest({ signal: stop.signal });
    await expect.poll(pid).toBeDefined();
    const before = performance.now();
    stop.abort();
    await expect(made).rejects.toBe(stop.signal.reason);
    expect(performance.now() - before).toBeLessThan(8000);
    await expect.poll(() => isAlive(pid()!)).toBe(false);
    expect(readdirSync(cache).length).toBeLessThanOrEqual(left);
  });

  test('does not begin when it was told to end before', async () => {
    const { pid } = machine('exit 1');
    await expect(prepareGuest({ signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
    expect(pid()).toBeUndefined();
  });
});
