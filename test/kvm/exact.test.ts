/** Exact watching of a guest under KVM by the processor's debug registers, against what the guest says that it did. */
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
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

/** Each loop at a place of its own, whose tables are there before it is watched. */
function placeOf(index: number): bigint {
  return 0x2000_0000_0000n + BigInt(index) * 0x4000_0000n;
}

describe.skipIf(place.kind === 'none').each([1, 2])('a guest of %d vCPUs under KVM', (cpus) => {
  let host: KvmHost;

  beforeAll(async () => {
    host = await KvmHost.open(place);
    if (host.kind === 'bed') await host.call('debugRegisters', { work: true });
    if (cpus > 1) await host.call('boot', { smp: cpus });
  }, 300_000);

  afterAll(() => host?.close());

  test.for(LOOPS)('one address in a loop of %s, %d rounds', { timeout: 300_000 * TIMES }, async ([kind, rounds]) => {
    const va = placeOf(LOOPS.findIndex(([name]) => name === kind));
    const at = `0x${va.toString(16)}`;
    // Its neighbour in the page table stays, so that the table does.
    await host.call('command', { command: `map 1 small at=0x${(va + 0x1000n).toString(16)}` });
    await host.call('command', { command: `touch 0x${(va + 0x1000n).toString(16)}` });
    const result = await host.call(
      'watch',
      {
        ranges: [{ va: at, pages: 1 }],
        commands: [`loop ${kind} ${rounds * TIMES} pages=1 at=${at}`],
        timeoutMs: 200_000 * TIMES,
      },
      250_000 * TIMES,
    );
    console.log(`${cpus} vCPUs, ${kind}: ${JSON.stringify(result)}`);
    expect(result.differences).toEqual([]);
    expect(result.events).toBeGreaterThan(rounds * TIMES);
    expect(result.lost.known).toBe(0);
    if (cpus === 1) expect(result.lost.unknown).toBe(false);
  });

  test('one address of processes that exit', { timeout: 300_000 * TIMES }, async () => {
    const rounds = 2 + TIMES;
    const seen = await host.call('exits', { rounds, va: '0x300000000000' }, 250_000 * TIMES);
    expect(seen).toEqual(Array.from({ length: rounds }, () => ['page-in', 'page-out']));
  });
});
