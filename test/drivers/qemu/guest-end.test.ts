/** Why a guest ends, by what QEMU says of it (qapi/run-state.json, ShutdownCause). */
import { expect, test } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import { GuestEnd } from '../../../src/drivers/qemu/guest-end.ts';

/** An end that QEMU has reported by these events, and whose sockets are closed then. */
function endBy(...events: { readonly name: string; readonly data?: Record<string, unknown> }[]): GuestEnd {
  const end = new GuestEnd('/run/vm.qmp');
  for (const { name, data = {} } of events) end.hear({ name, data, timeMs: 0 });
  end.lose(new PtmonError('source-unavailable', 'the connection is lost'));
  return end;
}

const shutdown = (reason?: string) => ({
  name: 'SHUTDOWN',
  data: { guest: false, ...(reason !== undefined && { reason }) },
});

test.each(['guest-shutdown', 'host-qmp-quit', 'host-qmp-system-reset', 'host-signal', 'host-ui'])(
  '%s: the guest ends as requested',
  (reason) => {
    const end = endBy(shutdown(reason));
    expect(end.signal.aborted).toBe(true);
    expect(end.isShutDown).toBe(true);
    expect(end.failure).toBeUndefined();
  },
);

test.each([
  ['host-error', 'QEMU exits (host-error)'],
  [undefined, 'QEMU exits (it does not say why)'],
])('%s: the guest ends, and it is said why', (reason, message) => {
  const end = endBy(shutdown(reason));
  expect(end.signal.aborted).toBe(true);
  expect(end.failure?.message).toBe(`/run/vm.qmp: ${message}`);
});

test('the first reason counts', () => {
  const end = endBy({ name: 'GUEST_PANICKED' }, shutdown('guest-panic'));
  expect(end.failure?.message).toBe('/run/vm.qmp: the guest has panicked');
});

test('a QEMU that is killed says nothing: its connection is lost', () => {
  expect(endBy().failure?.message).toBe('the connection is lost');
});
