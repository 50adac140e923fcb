/** What can be done with a guest, and what would make the rest possible. */
import { PtmonError } from '../core/error.ts';

export type CapabilityName =
  /** Watching stops the guest after each write to a watched page table: no change is lost. */
  | 'exact'
  /** Watching compares memory at an interval while the guest runs. */
  | 'sampled'
  /** The guest can be looked at, at one moment; without a gdbstub that is a sample of the running guest. */
  | 'snapshot'
  /** Its memory can be written. */
  | 'write'
  /** Handlers can run at instructions. */
  | 'breakpoints';

export type Capability =
  | { readonly available: true }
  /** `why` says what is missing, and the flag that gives it. */
  | { readonly available: false; readonly why: string };

export type Capabilities = Readonly<Record<CapabilityName, Capability>>;

const AVAILABLE: Capability = { available: true };

/** @param reasons why each is missing; undefined where it is there */
export function capabilitiesOf(reasons: Readonly<Record<CapabilityName, string | undefined>>): Capabilities {
  const entries = Object.entries(reasons).map(([name, why]): [string, Capability] => [
    name,
    why === undefined ? AVAILABLE : { available: false, why },
  ]);
  return Object.fromEntries(entries) as Record<CapabilityName, Capability>;
}

/** @throws PtmonError `bad-argument` where it is missing, saying why */
export function requireCapability(capabilities: Capabilities, name: CapabilityName, what: string): void {
  const capability = capabilities[name];
  if (!capability.available) throw new PtmonError('bad-argument', `${what} is not possible: ${capability.why}`);
}
