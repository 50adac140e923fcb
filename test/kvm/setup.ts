/**
 * Once a run: finds the KVM, or boots the bed. PTMON_KVM: `required` makes the bed where it is missing, `host` fails where this machine's own
 * KVM does not work, `off` leaves all of this out.
 */
import process from 'node:process';
import type { TestProject } from 'vitest/node';
import { machineFacts } from './facts.ts';
import { type KvmPlace, prepare } from './host.ts';

declare module 'vitest' {
  interface ProvidedContext {
    kvm: KvmPlace;
  }
}

export default async function setup(project: TestProject): Promise<() => void> {
  const say = (line: string) => void process.stderr.write(`kvm: ${line}\n`);
  const wish = process.env['PTMON_KVM'];
  if (wish === 'off') {
    project.provide('kvm', { kind: 'none', why: 'PTMON_KVM=off' });
    return () => {};
  }
  if (wish !== undefined) machineFacts().forEach(say);
  const { place, remove } = await prepare(wish, say);
  if (place.kind === 'none') process.stderr.write(`LEFT OUT: guests under KVM\n  ${place.why}\n`);
  project.provide('kvm', place);
  return remove;
}
