/**
 * The guardian: a process of its own that outlives the one that watches a guest. When that one ends, however it ends (a signal, SIGKILL, a
 * crash of Node), the pipe between the two is closed, and the guardian releases the guests that were not left in good order.
 */
import process from 'node:process';
import { createInterface } from 'node:readline';
import { QmpClient } from '../qmp/client.ts';
import type { GuardedGuest, GuardianMessage } from './guarded-guest.ts';
import { mayRunAfterUs, releaseGuest } from './release-guest.ts';

/** A guest is to run on within two seconds; QEMU answers in a few milliseconds where it has a processor. */
const TIMEOUT_MS = 1000;
/** Another client may have QMP by now; then what this process was told last decides. */
const GREETING_MS = 500;
/** QEMU serves one client at a time, and may not have noticed yet that the last one is gone. */
const ATTEMPTS = 3;
/** A gdbstub that was connected to and does not answer has stopped the guest: the last attempt waits for the QMP that resumes it. */
const LAST_GREETING_MS = 10_000;

process.title = 'ptmon-guardian';
const guests = new Map<number, GuardedGuest>();

for await (const line of createInterface({ input: process.stdin })) {
  const message = parse(line);
  if (message?.kind === 'guard') guests.set(message.id, message.guest);
  if (message?.kind === 'done') guests.delete(message.id);
}
await Promise.all([...guests.values()].map(rescue));

/** Undefined for half a line: the process that wrote it was killed meanwhile. */
function parse(line: string): GuardianMessage | undefined {
  try {
    return JSON.parse(line) as GuardianMessage;
  } catch {
    return undefined;
  }
}

async function rescue(guest: GuardedGuest): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const qmp = await connect(guest.qmp, attempt < ATTEMPTS - 1 ? GREETING_MS : LAST_GREETING_MS);
    const mayRun = mayRunAfterUs(guest.isHeld);
    const { failure } = await releaseGuest({ gdb: guest.gdb, qmp, mayRun, timeoutMs: TIMEOUT_MS });
    await qmp?.close();
    if (failure === undefined) return;
  }
}

async function connect(address: string | undefined, timeoutMs: number): Promise<QmpClient | undefined> {
  if (address === undefined) return undefined;
  return QmpClient.connect(address, { timeoutMs }).catch(() => undefined);
}
