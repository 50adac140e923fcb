/** What a script can slip: each call of a guest that is a file works, or is refused by a `PtmonError`. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { attach, dumpRange, type Moment, search, type VirtualMemory } from '../../src/guest/index.ts';
import { type Call, whatGoesWrong, withOptions } from './strange-arguments.ts';

const TRACE = fileURLToPath(new URL('../../traces/tour.trace', import.meta.url));
const nothing = () => {};

async function first(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items) return;
}

function callsOf(moment: Moment, memory: VirtualMemory): Call[] {
  const ranges = (filter: never) => moment.ranges(memory.root, filter);
  const pieces = (options: never) => first(moment.pieces(memory.root, options));
  const physical = { pa: 0, byteLength: 8 };
  const filter = { user: true, writable: true, executable: true, pageSizes: [4096], minByteLength: 1 };
  return [
    ['currentRoot', (vcpu) => moment.currentRoot(vcpu), [0]],
    ['memoryOf', (root, name) => moment.memoryOf(root, name), [0x1000, 'name']],
    ['ranges', (root, options) => moment.ranges(root, options), [memory.root, {}]],
    ...withOptions('ranges', ranges, { ...filter, maxByteLength: 2 ** 20, physical }),
    ['pieces', (root, options) => first(moment.pieces(root, options)), [memory.root, {}]],
    ...withOptions('pieces', pieces, { from: 0n, to: 1n, maxRepeats: 5, onKept: nothing, onProgress: nothing }),
    ['readPhysical', (pa, byteLength) => moment.readPhysical(pa, byteLength), [0, 8]],
    ['memory.read', (va, byteLength) => memory.read(va, byteLength), [0n, 8]],
    ['memory.readString', (va, maxBytes) => memory.readString(va, maxBytes), [0n, 8]],
    ['memory.walk', (va) => memory.walk(va), [0n]],
    ['memory.pieces', (va, byteLength) => first(memory.pieces(va, byteLength)), [0n, 8n]],
    ['search', (pattern, range) => first(search(memory, pattern, range)), ['x', { va: 0n, byteLength: 8n }]],
    ['dumpRange', (request) => dumpRange(memory, request), [{ va: 0n, byteLength: 8n, path: '/nowhere/x' }]],
  ];
}

test('each call works or is refused, never a TypeError, never without an end', async () => {
  const guest = await attach(TRACE);
  const follow = { selection: { by: { pid: 1 } }, onEvents: nothing, onEnd: nothing };
  const calls: Call[] = [
    // Not without a guest: that would be the only VM of this host.
    ['attach', (options) => attach(TRACE, options), [{}]],
    ...withOptions('attach', (where) => attach(where), { file: TRACE }),
    ...withOptions('attach', (where) => attach(where), { qmp: '/nowhere/qmp', gdb: '/nowhere/gdb', name: 'vm' }),
    ...withOptions('attach', (options) => attach(TRACE, options), {
      signal: AbortSignal.any([]),
      proof: false,
      root: 0x1000n,
      paging: '4-level',
    }),
    ['process', (which) => guest.process(which), [1]],
    ['symbol', (name) => guest.symbol(name), ['do_exit']],
    ['breakpoint', (...args) => guest.breakpoint(...(args as [never, never, never])), [0n, nothing, {}]],
    ['on', (...args) => guest.on(...(args as [never, never, never])), ['exit', nothing, {}]],
    ['paused', (work) => guest.paused(work), [nothing]],
    ['readPhysical', (pa, byteLength) => guest.readPhysical(pa, byteLength), [0, 8]],
    ['read', (root, va, byteLength) => guest.read(root, va, byteLength), [0x1000, 0n, 8]],
    ['memory', (root) => guest.memory(root), [0x1000]],
    ...[guest.memory(0x1000), guest.physicalMemory].flatMap((memory): Call[] => [
      ['memory.read', (va, byteLength) => memory.read(va, byteLength), [0n, 8]],
      ['memory.readString', (va, maxBytes) => memory.readString(va, maxBytes), [0n, 8]],
      ['memory.search', (pattern, range) => memory.search(pattern, range), ['x', { va: 0n, byteLength: 8n }]],
      ['memory.dump', (range) => memory.dump(range, '/nowhere/x'), [{ va: -1n, byteLength: 8n }]],
      ['memory.write', (va, bytes) => memory.write(va, bytes), [0n, new Uint8Array()]],
    ]),
    ['follow', (request) => guest.follow(request), [follow]],
    ...withOptions('follow', (request) => guest.follow(request), follow),
    ['run', () => guest.run(), [0]],
    ['processes', () => guest.processes(), [0]],
  ];
  const found = await whatGoesWrong(calls);
  const inMoment = await guest.paused((moment) =>
    whatGoesWrong(callsOf(moment, moment.memoryOf(moment.currentRoot()))),
  );
  // The last call: it closes the guest.
  expect([...found, ...inMoment, ...(await whatGoesWrong([['close', (how) => guest.close(how), [{}]]]))]).toEqual([]);
});

test.each<[what: object, message: string]>([
  [{ signal: 'x' }, 'attach: the signal is no AbortSignal'],
  [{ proof: 'yes' }, 'attach: proof is yes: it takes the type boolean'],
])('attach with %j', async (options, message) => {
  await expect(attach(TRACE, options)).rejects.toMatchObject({ code: 'bad-argument', message });
});

test.each<[request: object | undefined, message: string]>([
  [undefined, 'follow: the options are undefined: give { selection, onEvents, onEnd }'],
  [{ selection: { by: { pid: 1 } } }, 'the handler undefined is not a function'],
  [{ onEvents: nothing }, 'selection: the options are undefined: give { by, map }'],
  [{ onEvents: nothing, selection: { by: {} } }, 'selection.by: give one of pid, command and commands'],
  [{ onEvents: nothing, selection: { by: { comm: 'x' } } }, 'selection.by has no option comm'],
  [{ onEvents: nothing, selection: { by: { pid: 1.5 } } }, 'selection.by: 1.5 names no process'],
  [{ onEvents: nothing, selection: { by: { pid: 1 }, map: { kind: 'at' } } }, 'selection.map: give { kind'],
])('follow(%j) is refused', async (request, message) => {
  await using guest = await attach(TRACE);
  await expect(guest.follow(request as never)).rejects.toMatchObject({
    code: 'bad-argument',
    message: expect.stringContaining(message),
  });
});
