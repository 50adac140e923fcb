/** The first script of the README, word for word, on the guest that the README boots. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, expect, test } from 'vitest';
import { filesIn } from '../docs/markdown.ts';
import { leftOut } from './real-guest.ts';

const COMMAND = join(import.meta.dirname, '../../dist/cli/main.js');
const isLeftOut = leftOut('test/live/readme-script, the first script of the README');
const folder = mkdtempSync(join(tmpdir(), 'ptmon-readme-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Resolves with the first match of what a process prints; rejects where it ends without. */
function printed(child: ReturnType<typeof spawn>, wanted: RegExp): Promise<RegExpExecArray> {
  let text = '';
  return new Promise((resolve, reject) => {
    const look = () => {
      const match = wanted.exec(text);
      if (match !== null) resolve(match);
    };
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
        look();
      });
    }
    child.on('close', () => reject(new Error(`ended without ${wanted.source}: ${text}`)));
  });
}

test.skipIf(isLeftOut)('heap.mjs reads each page of the heap as it appears', { timeout: 120_000 }, async () => {
  const script = join(folder, 'heap.mjs');
  writeFileSync(script, filesIn('README.md').get('heap.mjs')!);
  const guest = spawn(process.execPath, [COMMAND, 'run', '--no-watch', '--map', 'heap']);
  try {
    const [, qmp, gdb] = await printed(guest, /--qmp (\S+) --gdb (\S+)/);
    const reader = spawn(process.execPath, [COMMAND, 'script', script, '--qmp', qmp!, '--gdb', gdb!]);
    const [, bytes] = await printed(reader, /(?:[\da-f]+ [\da-f]{32}\n){4}[\da-f]+ ([\da-f]{32})\n/);
    // The kernel has cleared it, and the process has not written to it yet.
    expect(bytes).toBe('00'.repeat(16));
    const ended = new Promise((resolve) => reader.on('close', resolve));
    reader.kill('SIGINT');
    expect(await ended).toBe(130);
  } finally {
    guest.kill('SIGINT');
    await new Promise((resolve) => guest.on('close', resolve));
  }
});
