/** Addresses that were not watched in the recording. Each is watched from the instant on at which the trace contains its tables. */
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import type { Session } from '../../session/session.ts';
import type { AddressOption } from '../options/address.ts';

export class OtherAddresses {
  readonly #session: Session;
  readonly #root: bigint | number;
  #waiting: readonly AddressOption[];
  #reason: PtmonError | undefined;

  constructor(session: Session, root: bigint | number, addresses: readonly AddressOption[]) {
    this.#session = session;
    this.#root = root;
    this.#waiting = addresses;
  }

  /** Watches the addresses whose tables are known by now. @throws PtmonError for an invalid address */
  async begin(): Promise<void> {
    const waiting: AddressOption[] = [];
    for (const address of this.#waiting) if (!(await this.#watch(address))) waiting.push(address);
    this.#waiting = waiting;
  }

  /** @throws PtmonError `not-recorded` for an address whose tables never came in the trace */
  check(): void {
    const never = this.#waiting[0];
    if (never === undefined) return;
    const more = this.#waiting.length === 1 ? '' : ` (and ${this.#waiting.length - 1} more)`;
    throw new PtmonError(
      'not-recorded',
      `${hex(never.va)} of root ${hex(this.#root)}${more} cannot be watched in this trace: ${this.#reason?.message ?? 'it is empty'}`,
      { va: never.va },
    );
  }

  async #watch({ va, byteLength, tag }: AddressOption): Promise<boolean> {
    const request = {
      root: this.#root,
      va,
      ...(byteLength !== undefined && { byteLength }),
      ...(tag !== undefined && { tag }),
    };
    try {
      await this.#session.watch(request);
      return true;
    } catch (error) {
      if (!(error instanceof PtmonError) || error.code !== 'not-recorded') throw error;
      this.#reason = error;
      return false;
    }
  }
}
