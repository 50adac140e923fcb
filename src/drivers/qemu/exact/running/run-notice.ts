/** What other clients do with the guest: pause it (with QEMU's name of the state), migrate it, or neither any more. */
export type RunNotice =
  | { readonly kind: 'held'; readonly state: string }
  | { readonly kind: 'migrating' }
  | { readonly kind: 'free' }
  /** QEMU has not answered a QMP command for a second. The guest may be stopped until it does. */
  | { readonly kind: 'silent'; readonly command: string }
  /** The gdbstub does not answer any more: the guest may be stopped, or a watchpoint may stop it. See `releaseGuest`. */
  | { readonly kind: 'left'; readonly state: string | undefined }
  /** The guest has been stopped for this share of the last seconds: it is watched at a rate that it hardly bears. Once. */
  | { readonly kind: 'slow'; readonly stoppedShare: number }
  /** This process was suspended (Ctrl-Z) and goes on: the guest ran unwatched meanwhile. */
  | { readonly kind: 'suspended' };
