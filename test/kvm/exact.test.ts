/** Exact watching of a guest under KVM by the processor's debug registers, against what the guest says that it did. */
import process from 'node:process';
import { describe, expect, inject, test } from 'vitest';
import { KvmHost } from './host.ts';

const place = inject('kvm');

const TIMES = Number(process.env['PTMON_KVM_TIMES'] || 1);

/** Each kind of the workload's loop, and its rounds, of one to five changes each. */
const LOOPS = [
  ['fault', 25],
  ['remap', 25],
  ['protect', 20],
  ['move', 25],
  ['cow', 15],
  ['swap', 15],
  ['mix', 20],
] as const;

const VA = 0x2000_0000_0000n;

function hex(va: bigint): string {
  return `0x${va.toString(16)}`;
}

/** Does `work` with a guest of its own: a loop that fails leaves nothing to the next. */
async function withGuest(cpus: number, work: (host: KvmHost) => Promise<void>): Promise<void> {
  const host = await KvmHost.open(place, cpus);
  try {
    if (host.kind === 'bed') await host.call('debugRegisters', { work: true });
    await work(host);
  } finally {
    await host.close();
  }
}

describe.skipIf(place.kind === 'none').each([1, 2])('a guest of %d vCPUs under KVM', (cpus) => {
  // The first of them boots the guest.
  const timeout = 200_000 + 300_000 * TIMES;

  test.for(LOOPS)('one address in a loop of %s, %d rounds', { timeout }, ([kind, rounds]) =>
    withGuest(cpus, async (host) => {
      // Its neighbour in the page table stays, so that the table does.
      await host.call('command', { command: `map 1 small at=${hex(VA + 0x1000n)}` });
      await host.call('command', { command: `touch ${hex(VA + 0x1000n)}` });
      const result = await host.call(
        'watch',
        {
          ranges: [{ va: hex(VA), pages: 1 }],
          commands: [`loop ${kind} ${rounds * TIMES} pages=1 at=${hex(VA)}`],
          timeoutMs: 200_000 * TIMES,
        },
        250_000 * TIMES,
      );
      console.log(`${cpus} vCPUs, ${kind}: ${JSON.stringify(result)}`);
      expect(result.differences).toEqual([]);
      expect(result.events).toBeGreaterThan(rounds * TIMES);
      expect(result.lost.known).toBe(0);
      if (cpus === 1) expect(result.lost.unknown).toBe(false);
    }),
  );

  test('one address of processes that exit', { timeout }, () =>
    withGuest(cpus, async (host) => {
      const rounds = 2 + TIMES;
      const seen = await host.call('exits', { rounds, va: '0x300000000000' }, 250_000 * TIMES);
      expect(seen).toEqual(Array.from({ length: rounds }, () => ['page-in', 'page-out']));
    }),
  );
});
