import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { unlessAborted } from '../../../src/guest/session/unless-aborted.ts';

test('the result of the work, and nothing is left with the signal', async () => {
  const { signal } = new AbortController();
  for (let call = 0; call < 100; call++) expect(await unlessAborted(signal, Promise.resolve(call))).toBe(call);
  await expect(unlessAborted(signal, Promise.reject(new Error('mine')))).rejects.toThrow('mine');
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test.each(['before', 'meanwhile'])('aborted %s: the reason, whatever the work waits for', async (when) => {
  const controller = new AbortController();
  if (when === 'before') controller.abort(new Error('released'));
  const given = unlessAborted(controller.signal, new Promise(() => {})).catch((error: unknown) => error);
  controller.abort(new Error('released'));
  expect(await given).toMatchObject({ message: 'released' });
});
