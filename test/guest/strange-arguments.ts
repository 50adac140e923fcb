/** Calls of scripts with arguments of wrong types: each call works, or says what is wrong with it. */
import { PtmonError } from '../../src/core/error.ts';
import type { Guest, GuestProcess } from '../../src/guest/index.ts';

const STRANGE: readonly unknown[] = [undefined, null, 'no such', '', {}, [], -1, Number.NaN, 1.5, -1n, 2n ** 64n, true];

/** A call, and arguments that it takes. */
export type Call = readonly [name: string, call: (...args: never[]) => unknown, args: readonly unknown[]];

/** What went otherwise: a `TypeError`, an error of the system, a call that never ends. */
export async function whatGoesWrong(calls: readonly Call[]): Promise<readonly string[]> {
  const wrong: string[] = [];
  for (const [name, call, args] of calls) {
    for (const place of args.keys()) {
      for (const strange of STRANGE) {
        const why = await failureOf(() => call(...(args.with(place, strange) as never[])));
        if (why !== undefined) wrong.push(`${name}, argument ${place} ${text(strange)}: ${why}`);
      }
    }
  }
  return wrong;
}

/** An option of each name, of each wrong type. */
export function withOptions(
  name: string,
  call: (options: never) => unknown,
  options: Readonly<Record<string, unknown>>,
): Call[] {
  const others = (key: string, value: unknown) => call({ ...options, [key]: value } as never);
  return Object.entries(options).map(([key, value]) => [
    `${name} { ${key} }`,
    (given: unknown) => others(key, given),
    [value],
  ]);
}

/** The calls of a guest with Linux, and of one of its processes. */
export function callsOf(guest: Guest, process: GuestProcess): Call[] {
  const nothing = () => {};
  const there = 0x400000n;
  const follow = { selection: { by: { pid: process.pid } }, onEvents: nothing, onEnd: nothing };
  return [
    ['process', (which) => guest.process(which), [1]],
    ['symbol', (name) => guest.symbol(name), ['do_exit']],
    ['guest.breakpoint', (...args) => guest.breakpoint(...(args as [never, never, never])), [there, nothing, {}]],
    ['on', (...args) => guest.on(...(args as [never, never, never])), ['exit', nothing, {}]],
    ['follow', (request) => guest.follow(request), [follow]],
    ...withOptions('follow', (request) => guest.follow(request), follow),
    ['read', (va, byteLength) => process.read(va, byteLength), [there, 8]],
    ['readString', (va, maxBytes) => process.readString(va, maxBytes), [there, 8]],
    ['process.symbol', (name, options) => process.symbol(name, options), ['main', {}]],
    ['ranges', (filter) => process.ranges(filter), [{}]],
    ['walk', (va) => process.walk(va), [there]],
    ['search', (pattern, part) => process.search(pattern, part), ['x', { va: there, byteLength: 8n }]],
    ['dump', (range) => process.dump(range, '/nowhere/x'), [{ va: -1n, byteLength: 8n }]],
    ['write', (va, bytes) => process.write(va, bytes), [there, new Uint8Array()]],
    ['watch', (part, how) => process.watch(part, how), ['stack', {}]],
    ...withOptions('watch', (how) => process.watch('stack', how), { kinds: ['protection'], wait: false }),
    ['page', (va, handler) => process.page(va, handler), [there, nothing]],
    ['breakpoint', (...args) => process.breakpoint(...(args as [never, never, never])), [there, nothing, {}]],
    ...withOptions('breakpoint', (how) => process.breakpoint(there, nothing, how), {
      timeoutMs: 5,
      onError: nothing,
      symbols: '/nowhere/x',
    }),
  ];
}

async function failureOf(call: () => unknown): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const endless = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('never ends')), 10_000);
  });
  try {
    const result = await Promise.race([Promise.resolve().then(call), endless]);
    await (result as Partial<AsyncDisposable> | undefined)?.[Symbol.asyncDispose]?.();
    return undefined;
  } catch (error) {
    return error instanceof PtmonError ? undefined : String(error);
  } finally {
    clearTimeout(timer);
  }
}

const text = (value: unknown) => (typeof value === 'bigint' ? `${value}n` : (JSON.stringify(value) ?? 'undefined'));
