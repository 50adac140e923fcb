/**
 * A program that imports every entry of the package, as its users compile it: with their own TypeScript, and with the declarations checked.
 * `scripts/check-types.mjs` compiles it, and fails for an entry that is missing here.
 */
import * as ptmon from 'ptmon';
import * as core from 'ptmon/core';
import * as driver from 'ptmon/driver';
import * as dump from 'ptmon/drivers/dump';
import * as qemu from 'ptmon/drivers/qemu';
import * as ramfile from 'ptmon/drivers/ramfile';
import * as trace from 'ptmon/drivers/trace';
import * as guest from 'ptmon/guest';
import * as linux from 'ptmon/linux';
import * as script from 'ptmon/script';
import * as sessions from 'ptmon/session';
import * as sinks from 'ptmon/sinks';
import * as snapshot from 'ptmon/snapshot';
import * as testing from 'ptmon/testing';

export const entries: readonly object[] = [
  ptmon,
  core,
  driver,
  dump,
  qemu,
  ramfile,
  trace,
  guest,
  linux,
  script,
  sessions,
  sinks,
  snapshot,
  testing,
];

/** Events are `MonitorEvent` without a cast, whatever the compiler knows of async iterators. */
export async function causes(session: sessions.Session): Promise<(string | null)[]> {
  const found: (string | null)[] = [];
  for await (const event of session) {
    const kind: core.MonitorEvent['kind'] = event.kind;
    found.push(kind, event.kind === 'page-in' ? core.hex(event.pa) : null);
  }
  return found;
}

/** An error's code is a union to switch over. */
export function isUsage(error: unknown): boolean {
  return error instanceof core.PtmonError && error.code === 'bad-argument';
}
