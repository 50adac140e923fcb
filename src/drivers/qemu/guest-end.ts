/** Why a guest that is watched does not run on. QEMU, qapi/run-state.json: SHUTDOWN, RESET, GUEST_PANICKED. */
import { PtmonError } from '../../core/error.ts';
import type { QmpEvent } from './qmp/messages.ts';

/** Causes of a SHUTDOWN that a guest or its user meant: the end of the guest, and no loss of it. libvirt destroys a guest by a signal. */
const MEANT: ReadonlySet<unknown> = new Set([
  'guest-shutdown',
  'host-qmp-quit',
  'host-qmp-system-reset',
  'host-signal',
  'host-ui',
]);

/** Listens for the end. */
export class GuestEnd {
  readonly #address: string;
  readonly #controller = new AbortController();
  #failure: PtmonError | undefined;
  #isShutDown = false;

  constructor(address: string) {
    this.#address = address;
  }

  /** Aborted when the guest will not go on as it was. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** A message about it; undefined where the guest ended as requested, or has not ended. */
  get failure(): PtmonError | undefined {
    return this.#failure;
  }

  /** QEMU has said so, of its own accord. */
  get isShutDown(): boolean {
    return this.#isShutDown;
  }

  hear({ name, data }: QmpEvent): void {
    if (name === 'RESET') this.#fail('the guest was reset: its page tables are gone');
    if (name === 'GUEST_PANICKED') this.#fail('the guest has panicked');
    if (name !== 'SHUTDOWN') return;
    const { reason } = data;
    if (!MEANT.has(reason)) this.#fail(`QEMU exits (${typeof reason === 'string' ? reason : 'it does not say why'})`);
    this.#isShutDown = true;
    this.#controller.abort();
  }

  /** What to throw for an error: the end of the guest, where that is behind it. */
  reasonOf(error: unknown): unknown {
    return error instanceof PtmonError && this.#failure !== undefined ? this.#failure : error;
  }

  lose(error: PtmonError): void {
    // A QEMU that has said that it ends closes its sockets, too.
    if (this.#isShutDown) return;
    this.#failure ??= error;
    this.#controller.abort();
  }

  #fail(what: string): void {
    this.lose(new PtmonError('source-unavailable', `${this.#address}: ${what}`));
  }
}
