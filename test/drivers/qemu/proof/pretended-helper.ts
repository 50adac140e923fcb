/** A script in the place of the process that knows of written pages. */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { onTestFinished } from 'vitest';
import { temporaryFolder } from '../transport/peer.ts';

export const VARIABLE = 'PTMON_WRITTEN_PAGES';

/** @param script of /bin/sh */
export function pretend(script: string): void {
  const path = join(temporaryFolder(), 'written-pages');
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  const before = process.env[VARIABLE];
  process.env[VARIABLE] = path;
  onTestFinished(() => {
    if (before === undefined) delete process.env[VARIABLE];
    else process.env[VARIABLE] = before;
  });
}
