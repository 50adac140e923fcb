import { expect, test } from 'vitest';
import { openQemuPlugin, openQemuSampling } from '../../../src/drivers/qemu/index.ts';
import { refusing, startQmpServer } from './qmp/qmp-server.ts';

const EVENTS = ['STOP', 'RESUME', 'RESET']
  .map((event) => `${JSON.stringify({ event, timestamp: { seconds: 1, microseconds: 2 } })}\r\n`)
  .join('');

test.each([
  ['sampling', openQemuSampling],
  ['the plugin', (options: { qmp: string }) => openQemuPlugin({ ...options, plugin: '/nowhere' })],
] as const)('%s: events may come with the reply that ends the negotiation', async (_name, open) => {
  const server = await startQmpServer(
    (command, socket) => socket.write(refusing(command, 'CommandNotFound', 'not here')),
    { firstEvents: EVENTS },
  );
  // An error that nobody catches fails the test, too.
  await expect(open({ qmp: server.address })).rejects.toThrow('the guest was reset: its page tables are gone');
  expect(server.commands.map(({ execute }) => execute)).toEqual(['qmp_capabilities', 'query-cpus-fast']);
});
