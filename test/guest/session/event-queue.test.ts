import process from 'node:process';
import { expect, test, vi } from 'vitest';
import { EventQueue } from '../../../src/guest/session/event-queue.ts';

const queueOfNumbers = () =>
  new EventQueue<number>(
    () => {},
    async () => {},
  );

/** Whether a promise has settled once everything that is ready has run. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const note = () => (settled = true);
  promise.then(note, note);
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

test('the guest waits at an event until its reader asks for the next', async () => {
  const queue = queueOfNumbers();
  const first = queue.next();
  const pushed = queue.push(1);
  expect((await first).value).toBe(1);
  expect(await isSettled(pushed)).toBe(false);
  void queue.next();
  expect(await isSettled(pushed)).toBe(true);
});

test('a reader that keeps the guest stopped for long is told, once', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const warnings: string[] = [];
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation((warning) => void warnings.push(String(warning)));
  const queue = queueOfNumbers();
  let read = queue.next();
  for (const [waitedMs, expected] of [
    [9999, 0],
    [10_000, 1],
    [60_000, 1],
  ] as const) {
    const pushed = queue.push(1);
    vi.advanceTimersByTime(waitedMs);
    expect(warnings).toHaveLength(expected);
    await read;
    read = queue.next();
    await pushed;
  }
  expect(warnings[0]).toMatch(/^the guest has been stopped for 10 s at an event of a watch/);
  warn.mockRestore();
  vi.useRealTimers();
});

test('a second loop is refused while the first one waits, and the first goes on', async () => {
  const queue = queueOfNumbers();
  const first = queue.next();
  await expect(queue.next()).rejects.toMatchObject({ code: 'bad-argument' });
  void queue.push(1);
  expect((await first).value).toBe(1);
});

test('what was unread is read first, and the guest waits meanwhile', async () => {
  const queue = queueOfNumbers();
  for (const event of [1, 2]) await queue.push(event);
  expect((await queue.next()).value).toBe(1);
  const pushed = queue.push(3);
  for (const event of [2, 3]) {
    expect(await isSettled(pushed)).toBe(false);
    expect((await queue.next()).value).toBe(event);
  }
  queue.release();
  expect(await isSettled(pushed)).toBe(true);
});

test('a reader that was told of dropped events is the last that the guest waits for', async () => {
  const queue = queueOfNumbers();
  for (let event = 0; event < 4100; event++) await queue.push(event);
  for (let event = 0; event < 4096; event++) expect((await queue.next()).value).toBe(event);
  await expect(queue.next()).rejects.toMatchObject({
    code: 'events-dropped',
    message: expect.stringMatching(/^4 events /),
  });
  expect(await isSettled(queue.push(4100))).toBe(true);
  expect(await queue.next()).toEqual({ done: true, value: undefined });
});

test('a failure is thrown once, after what was unread', async () => {
  const queue = queueOfNumbers();
  await queue.push(1);
  queue.end(new Error('QEMU has ended'));
  expect((await queue.next()).value).toBe(1);
  await expect(queue.next()).rejects.toThrow('QEMU has ended');
  expect(await queue.next()).toEqual({ done: true, value: undefined });
});
