/** A stream of bytes to and from a peer: what a protocol needs of a socket, and nothing else. */
import type { PtmonError } from '../../../core/error.ts';

export interface TransportReceiver {
  /** Bytes in the order in which the peer sent them, cut anywhere. */
  bytes(chunk: Uint8Array): void;
  /** The peer is gone, and why. Called at most once, nothing after it, and never after `close`. */
  lost(error: PtmonError): void;
}

export interface Transport {
  /** Where the peer is, for messages: `unix:/run/vm.sock`. */
  readonly address: string;
  /** Begins to receive; what came before this call is delivered, too. To be called once. */
  start(receiver: TransportReceiver): void;
  /** Sends, in the order of the calls; does nothing once the peer is gone or `close` was called. */
  send(bytes: Uint8Array): void;
  /** Stops to receive, so that the peer waits once the buffers between are full, or resumes. Absent where that is impossible. */
  pause?(isPaused: boolean): void;
  /** Lets go of the peer after what was sent so far. May be called again. */
  close(): void;
}
