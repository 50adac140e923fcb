/** What `openQemu` refuses before it connects to anything. */
import { expect, test } from 'vitest';
import { openQemu } from '../../../../src/drivers/qemu/index.ts';

test.each([
  ['/run/vm', '/run/vm'],
  ['/run/vm', 'unix:/run/vm'],
  ['tcp:localhost:1234', 'localhost:1234'],
])('one socket for both, qmp %s and gdb %s', async (qmp, gdb) => {
  await expect(openQemu({ qmp, gdb })).rejects.toMatchObject({
    code: 'bad-argument',
    message: expect.stringMatching(/^qmp and gdb are both .*: QEMU has a socket for each$/),
  });
});

test('a domain of libvirt and a gdbstub are two', async () => {
  const gdb = '/run/no-such-vm.gdb';
  await expect(openQemu({ qmp: 'virsh:no-such-domain', gdb })).rejects.toMatchObject({ code: 'source-unavailable' });
});
