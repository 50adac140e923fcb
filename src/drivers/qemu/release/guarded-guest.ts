/** What the guardian process is told, one JSON object a line. */

/** A guest that a client of its gdbstub may leave stopped. Paths are absolute, or relative to the guardian's working directory. */
export interface GuardedGuest {
  /** QEMU's `-gdb` socket. */
  readonly gdb: string;
  /** QEMU's `-qmp` socket. */
  readonly qmp: string | undefined;
  /** Another client of QEMU wants it stopped. */
  readonly isHeld: boolean;
}

export type GuardianMessage =
  | { readonly kind: 'guard'; readonly id: number; readonly guest: GuardedGuest }
  /** The guest was left in good order. */
  | { readonly kind: 'done'; readonly id: number };
