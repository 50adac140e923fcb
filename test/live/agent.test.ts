/** `ptmon agent` on a real guest, which comes, is watched, and goes. */
import process from 'node:process';
import { describe, expect, test } from 'vitest';
import { launchGuest } from '../../src/drivers/qemu/launch/launch.ts';
import { policyOf, startAgent } from '../fleet/agent-process.ts';
import { leftOut } from './real-guest.ts';

const VA = '0x340000000000';

describe.skipIf(leftOut('test/live/agent, an agent on a real guest'))('ptmon agent', { timeout: 240_000 }, () => {
  test.each(['sample', 'exact'])(
    'watches a VM that comes by %s, and the VM goes on when the agent ends',
    async (mode) => {
      // Other tests may run VMs on this host.
      const name = `live-agent-${process.pid}-${mode}`;
      const rules = [{ vms: [name], processes: ['work*'], mode, intervalMs: 20 }];
      const agent = await startAgent(policyOf([], { rules, scanSeconds: 1 }));
      expect((await agent.status()).vms).toEqual([]);
      const guest = await launchGuest({ cpu: 'max', extraArguments: ['-name', name] });
      try {
        await guest.waitForReady();
        const { workload } = guest;
        const find = async () => (await agent.status()).vms.find(({ vm }) => vm === name);
        await agent.until(() => agent.lines().some(({ kind, of }) => kind === 'watch' && of['vm'] === name));
        for (const command of [`map 64 small at=${VA}`, `touch ${VA} 64`]) await workload.command(command);
        await agent.until(async () => ((await find())?.counts.events ?? 0) >= 64);
        expect(await agent.kill('SIGTERM')).toBe(0);
        const events = agent.lines().filter(({ seq }) => seq !== undefined);
        expect(events.every(({ comm }) => comm === 'workload')).toBe(true);
        expect(events.some(({ kind }) => kind === 'page-in')).toBe(true);
        // Its tables are written to without a stop.
        await workload.command(`dontneed ${VA} 64`, { timeoutMs: 20_000 });
      } finally {
        await guest.stop();
      }
    },
  );

  test('a VM that goes is not watched any more', async () => {
    const name = `live-agent-${process.pid}-goes`;
    const rules = [{ vms: [name], processes: ['work*'] }];
    const guest = await launchGuest({ cpu: 'max', extraArguments: ['-name', name] });
    const agent = await startAgent(policyOf([], { rules, scanSeconds: 1 }));
    await agent.until(async () => (await agent.status()).vms.some(({ pid }) => pid !== null));
    await guest.stop();
    await agent.until(async () => (await agent.status()).vms.length === 0);
    expect(agent.stderr()).toContain(`VM ${name}: gone, or no longer in the policy`);
    expect(await agent.kill('SIGTERM')).toBe(0);
  });
});
