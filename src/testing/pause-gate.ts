/** A gate that lets everybody through, or nobody until it is opened again. */
export class PauseGate {
  #closed: { readonly opened: Promise<void>; readonly open: () => void } | undefined;

  get closed(): boolean {
    return this.#closed !== undefined;
  }

  close(): void {
    if (this.#closed !== undefined) return;
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.#closed = { opened, open };
  }

  open(): void {
    this.#closed?.open();
    this.#closed = undefined;
  }

  /** Resolves when the gate is open, or `signal` is aborted. */
  async passed(signal?: AbortSignal): Promise<void> {
    while (this.#closed !== undefined && signal?.aborted !== true) {
      const { opened } = this.#closed;
      if (signal === undefined) {
        await opened;
        continue;
      }
      let wake = (): void => undefined;
      const aborted = new Promise<void>((resolve) => {
        wake = resolve;
      });
      signal.addEventListener('abort', wake, { once: true });
      await Promise.race([opened, aborted]);
      signal.removeEventListener('abort', wake);
    }
  }
}
