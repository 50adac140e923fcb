/** The guardian as a process: `npm test` builds it first. What it does for real guests is in test/live/guardian.test.ts. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Stub } from '../gdb/stub.ts';

const GUARDIAN = fileURLToPath(new URL('../../../../dist/drivers/qemu/release/guardian.js', import.meta.url));

/** Its exit code, after it has read this and the pipe was closed. */
async function guardianOf(input: string): Promise<{ readonly code: unknown; readonly stderr: string }> {
  const child = spawn(process.execPath, [GUARDIAN], { stdio: ['pipe', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.end(input);
  const [code] = await once(child, 'close');
  return { code, stderr };
}

const guard = (gdb: string, isHeld = false) => JSON.stringify({ kind: 'guard', id: 1, guest: { gdb, isHeld } });

test('a guest that was not left in good order runs on, and its watchpoints are gone', async () => {
  const stub = await Stub.start();
  stub.watches.push('1000,8');
  expect(await guardianOf(`${guard(stub.address)}\n`)).toEqual({ code: 0, stderr: '' });
  expect({ isRunning: stub.isRunning, watches: stub.watches }).toEqual({ isRunning: true, watches: [] });
});

test.each([
  ['stays stopped', false],
  ['runs on where that client has resumed it meanwhile', true],
])('a guest that another client has paused %s', async (_, isRunning) => {
  const stub = await Stub.start();
  stub.isRunning = isRunning;
  stub.watches.push('1000,8');
  expect(await guardianOf(`${guard(stub.address, true)}\n`)).toEqual({ code: 0, stderr: '' });
  expect({ isRunning: stub.isRunning, watches: stub.watches }).toEqual({ isRunning, watches: [] });
});

test('half a line, of a process that was killed while it wrote, costs no other guest its release', async () => {
  const stub = await Stub.start();
  const { code } = await guardianOf(`${guard(stub.address)}\n{"kind":"gua`);
  expect({ code, isRunning: stub.isRunning }).toEqual({ code: 0, isRunning: true });
});

test('a guest that was left in good order is left alone', async () => {
  const stub = await Stub.start();
  await guardianOf(`${guard(stub.address)}\n${JSON.stringify({ kind: 'done', id: 1 })}\n`);
  expect(stub.commands).toEqual([]);
});

test('a QEMU that is gone', async () => {
  expect(await guardianOf(`${guard('/nowhere/gdb')}\n`)).toEqual({ code: 0, stderr: '' });
});
