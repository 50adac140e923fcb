/** What `attach` refuses, before it connects to anything. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { attach } from '../../src/guest/index.ts';

const TRACE = join(import.meta.dirname, '../../traces/boot.trace');

test.each<[where: unknown, message: string]>([
  [null, 'null is no guest: give a VM'],
  [true, 'true is no guest'],
  [() => {}, 'is no guest'],
  [{}, 'the guest has no qmp: give a VM'],
  [[], 'the guest has no qmp'],
  [{ gdb: '/nowhere' }, 'the guest has no qmp'],
  [{ qmp: undefined, gdb: '/nowhere' }, 'the guest has no qmp'],
  [{ qmp: 7 }, 'qmp: 7 is no part of a guest'],
  [{ qmp: '/nowhere', gdb: 7 }, 'gdb: 7 is no part of a guest'],
  [{ qmp: '/nowhere', gdp: '/nowhere' }, 'gdp: /nowhere is no part of a guest'],
  [{ file: 7 }, 'file: 7 is no part of a guest'],
  [{ file: undefined }, 'the guest has no file'],
  [{ file: TRACE, qmp: '/nowhere' }, 'qmp: /nowhere is no part of a guest'],
  ['./no-such.dump', './no-such.dump is neither a file nor a VM: give a VM'],
  ['unix:/run/vm.qmp', 'unix:/run/vm.qmp is a socket: name both, as { qmp, gdb }'],
])('%j is refused, and the message says what to give', async (where, message) => {
  await expect(attach(where as string)).rejects.toMatchObject({
    code: 'bad-argument',
    message: expect.stringContaining(message),
  });
});

test('a trace is a guest that can be read and not watched', async () => {
  const guest = await attach(TRACE);
  try {
    expect(guest.capabilities).toMatchObject({ snapshot: { available: true }, exact: { available: false } });
    expect(await guest.paused((moment) => moment.ranges(moment.currentRoot()))).not.toHaveLength(0);
    const filters: [filter: object, message: string][] = [
      [{ physical: {} }, 'physical address undefined'],
      [{ physical: { pa: 0, byteLength: -1 } }, 'byteLength -1 of physical memory'],
      [{ user: 'yes' }, 'the filter user: yes is neither true nor false'],
    ];
    for (const [filter, message] of filters) {
      const asked = guest.paused((moment) => moment.ranges(moment.currentRoot(), filter));
      await expect(asked).rejects.toMatchObject({ code: 'bad-argument', message: expect.stringContaining(message) });
    }
    await expect(guest.breakpoint('main', () => {})).rejects.toMatchObject({ code: 'bad-argument' });
    const slips: [call: () => Promise<unknown>, message: string][] = [
      [() => attach(TRACE, null as never), 'attach: the options are null: give { signal, proof, root, paging }'],
      [() => attach(TRACE, { prove: true } as never), 'attach has no option prove: only signal, proof, root, paging'],
      [() => guest.on('exit', () => {}, null as never), 'on: the options are null'],
      [() => guest.breakpoint(0n, () => {}, 7 as never), 'breakpoint: the options are 7'],
      [() => guest.breakpoint(0n, () => {}, { timeout: 5 } as never), 'breakpoint has no option timeout'],
      [() => guest.close(null as never), 'close: the options are null'],
    ];
    for (const [call, message] of slips) {
      await expect(call()).rejects.toMatchObject({ code: 'bad-argument', message: expect.stringContaining(message) });
    }
  } finally {
    await guest.close();
  }
});
