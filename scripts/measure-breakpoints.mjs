/**
 * What a hit of a breakpoint costs, beside a breakpoint of gdb that does nothing: `node scripts/measure-breakpoints.mjs`, after
 * `npm run build`. The guest calls a function while its page is swapped out, and its children call it, too.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout } from 'node:timers/promises';
import { launchGuest } from '../dist/drivers/qemu/index.js';
import { attach } from '../dist/guest/index.js';

const VA = '0x100000800000';
const CALLS = Number(process.argv[2] ?? 400);

const guest = await launchGuest({ cpu: 'max,la57=off' });
try {
  await guest.waitForReady();
  const { pid } = await guest.workload.ready();
  await guest.workload.command(`code ${VA}`);

  const calls = async () => {
    const start = performance.now();
    await guest.workload.command(`call ${VA} ${CALLS}`, { timeoutMs: 300_000 });
    return performance.now() - start;
  };

  const ours = async () => {
    const attached = await attach({ qmp: guest.qmpPath, gdb: guest.gdbPath });
    const owner = await attached.process(pid);
    const breakpoint = await owner.breakpoint(BigInt(VA), () => {});
    const ms = await calls();
    const { hits } = breakpoint;
    await attached.close();
    return { ms, hits };
  };

  const gdbs = async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ptmon-hits-'));
    const script = join(folder, 'hits.gdb');
    writeFileSync(
      script,
      [
        `target remote ${guest.gdbPath}`,
        'python',
        'class Counted(gdb.Breakpoint):',
        '    hits = 0',
        '    def stop(self):',
        '        Counted.hits += 1',
        '        return False',
        `Counted("*${VA}")`,
        'gdb.write("ready\\n")',
        'gdb.flush()',
        'end',
        'continue',
        'python gdb.write(f"hits {Counted.hits}\\n")',
        'detach',
      ].join('\n'),
    );
    const gdb = spawn('gdb', ['-nx', '-batch', '-x', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    let text = '';
    gdb.stdout.setEncoding('utf8').on('data', (chunk) => (text += chunk));
    while (!text.includes('ready')) await setTimeout(20);
    const ms = await calls();
    gdb.kill('SIGINT');
    await once(gdb, 'close');
    rmSync(folder, { recursive: true });
    return { ms, hits: Number(/hits (\d+)/.exec(text)?.[1]) };
  };

  // QEMU translates what the guest does when it does it first.
  await calls();
  const baseMs = await calls();
  process.stdout.write(`${CALLS} calls without a breakpoint: ${baseMs.toFixed(0)} ms\n`);
  for (const [name, measure] of /** @type {const} */ ([
    ['ptmon', ours],
    ['gdb', gdbs],
  ])) {
    const { ms, hits } = await measure();
    const perHit = (ms - baseMs) / hits;
    process.stdout.write(`${name}: ${ms.toFixed(0)} ms, ${hits} hits, ${perHit.toFixed(2)} ms each\n`);
  }
} finally {
  await guest.stop();
}
