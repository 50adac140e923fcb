/**
 * The conversation over a stream of packets: acknowledgements, repetition, and which reply belongs to which command. No I/O
 * here: commands and bytes in, events and bytes out. GDB manual, "Packet Acknowledgment".
 *
 * The protocol has no identifiers: replies belong to commands by their order alone. With one command under way a damaged packet
 * is simply repeated. With several, what is repeated arrives late, and every later reply would be taken for another's: there the
 * link gives up all of them and is *out of step*, until a `fence`, a command whose reply cannot be mistaken, has come back.
 */
import { DEFAULT_MAX_PACKET_BYTES, PacketDecoder, type PacketItem } from './packet-decoder.ts';
import { ACK, bytesOfCharacters, frameCommand, NAK, PROBE, PROBE_REPLY } from './packet-encoder.ts';

export interface LinkCommand {
  readonly payload: string;
  /** `stop` where the reply says that the target is stopped; else such a packet is not the reply. */
  readonly expects: 'reply' | 'stop';
}

export type LinkEvent =
  /** A command that expects a `stop` has reached the peer. */
  | { readonly kind: 'arrived' }
  | { readonly kind: 'reply'; readonly payload: string }
  /** One packet was damaged again and again; the command under way is given up, the link goes on. */
  | { readonly kind: 'failed'; readonly reason: string }
  /** All commands under way are given up. */
  | { readonly kind: 'out-of-step'; readonly reason: string }
  /** `hasHalted`: the target ran until the fence, or the interrupt before it, stopped it. */
  | { readonly kind: 'in-step'; readonly hasHalted: boolean }
  /** A stop of the target that no command asked for. */
  | { readonly kind: 'stop'; readonly payload: string }
  | { readonly kind: 'notification'; readonly payload: string };

/** How often one packet is sent before it is given up. */
export const MAX_ATTEMPTS = 4;

const FENCE = 'qC';
const FENCE_REPLY = 'QC';

/** SIGINT, of no thread. */
const UNTOLD_STOP = 'S02';
const STOP_REPLY = /^[TSWX][0-9a-fA-F]{2}/;
/** What the target prints, in hexadecimal digits; an answer to nothing. */
const CONSOLE_OUTPUT = /^O([0-9a-fA-F]{2})+$/;

export class PacketLink {
  readonly #decoder: PacketDecoder;
  #mode: 'in-step' | 'out-of-step' | 'fencing' = 'in-step';
  /** Commands that were sent, then those that arrived, each in order. */
  #unacknowledged: LinkCommand[] = [];
  #unanswered: LinkCommand[] = [];
  #attempts = 1;
  #probe: 'none' | 'asked' | 'answered' = 'none';
  #output = '';
  #last: { readonly output: string; readonly bytes: Uint8Array } = { output: '', bytes: new Uint8Array() };
  #lastCommand = { payload: '', packet: '' };

  constructor(maxPacketByteLength: number = DEFAULT_MAX_PACKET_BYTES) {
    this.#decoder = new PacketDecoder(maxPacketByteLength);
  }

  get commandsUnderWay(): number {
    return this.#unacknowledged.length + this.#unanswered.length;
  }

  /** Whether the first of the commands under way has arrived, as far as the peer has said. */
  get hasArrived(): boolean {
    return this.#unanswered.length > 0;
  }

  get isInStep(): boolean {
    return this.#mode === 'in-step';
  }

  /** The first of the bytes that belonged to no packet. */
  get noiseSample(): string {
    return this.#decoder.noiseSample;
  }

  /** What is to be sent since the last call. */
  takeOutput(): Uint8Array | undefined {
    const output = this.#output;
    if (output === '') return undefined;
    this.#output = '';
    // Most often the guest is resumed once more.
    if (output !== this.#last.output) this.#last = { output, bytes: bytesOfCharacters(output) };
    return this.#last.bytes;
  }

  /** To be called in step only. */
  send(command: LinkCommand): void {
    const { payload } = command;
    if (payload !== this.#lastCommand.payload) this.#lastCommand = { payload, packet: frameCommand(payload) };
    this.#output += this.#lastCommand.packet;
    this.#unacknowledged.push(command);
    if (this.commandsUnderWay === 1) this.#attempts = 1;
  }

  /** Gives up what is under way; for a peer that does not answer in time, but may yet. */
  giveUp(): void {
    this.#mode = 'out-of-step';
    this.#unacknowledged = [];
    this.#unanswered = [];
  }

  /**
   * Asks for the reply that ends being out of step. A target that runs stops, whether a command of ours let it run or another client did.
   * From version 8.1 on, QEMU says nothing of that stop: a command that waits for one has it when the fence comes back.
   */
  fence(): void {
    this.#mode = 'fencing';
    this.#attempts = 1;
    if (this.#probe === 'none') this.#output += PROBE;
    if (this.#probe === 'none') this.#probe = 'asked';
    this.#output += frameCommand(FENCE);
  }

  /** Takes what the peer sent. Never throws, whatever the bytes. */
  receive(chunk: Uint8Array): LinkEvent[] {
    const events: LinkEvent[] = [];
    for (const item of this.#decoder.push(chunk)) this.#item(item, events);
    return events;
  }

  #item(item: PacketItem, events: LinkEvent[]): void {
    switch (item.kind) {
      case 'ack':
        return this.#acknowledged(events);
      case 'nak':
        return this.#refused(events);
      case 'packet':
        if (this.#isWaitedFor(item.payload)) this.#output += ACK;
        return this.#packet(item.payload, events);
      case 'notification':
        events.push(item);
        return;
      case 'damaged':
        return this.#damaged(item.reason, events);
      case 'cut-short':
        // With one command under way, whatever follows is its reply.
        if (this.commandsUnderWay > 1) this.#loseStep('a packet without an end', events);
    }
  }

  #acknowledged(events: LinkEvent[]): void {
    const command = this.#unacknowledged.shift();
    if (command === undefined) return;
    this.#unanswered.push(command);
    if (this.commandsUnderWay === 1) this.#attempts = 1;
    if (command.expects === 'stop') events.push({ kind: 'arrived' });
  }

  #refused(events: LinkEvent[]): void {
    if (this.#mode === 'fencing') {
      // The command that lets the target run: it is to stop, and has not run.
      const unheard = this.#unacknowledged.shift();
      if (unheard !== undefined) return void this.#unanswered.push(unheard);
      if (++this.#attempts <= MAX_ATTEMPTS) this.#output += frameCommand(FENCE);
      return;
    }
    const command = this.#unacknowledged[0];
    if (command === undefined) return;
    if (this.commandsUnderWay > 1) return this.#loseStep('a command arrived damaged', events);
    if (++this.#attempts > MAX_ATTEMPTS) {
      this.#unacknowledged = [];
      events.push({ kind: 'failed', reason: `it says that the command arrived damaged, ${MAX_ATTEMPTS} times` });
      return;
    }
    this.#output += frameCommand(command.payload);
  }

  /**
   * Whether the peer waits for an acknowledgement of this packet. QEMU takes a command for one of all that it has sent until that
   * arrives; another behind the command would reach a target that this has let run, and stop it. The same goes for a stop, which another
   * client may have ended by now: the next command acknowledges it (`HALT`), which also saves QEMU from waking twice for each.
   */
  #isWaitedFor(payload: string): boolean {
    if (this.#mode === 'fencing') return payload.startsWith(FENCE_REPLY);
    return this.#unacknowledged.length === 0 && this.#probe === 'none' && !STOP_REPLY.test(payload);
  }

  #packet(payload: string, events: LinkEvent[]): void {
    if (CONSOLE_OUTPUT.test(payload)) return;
    if (this.#probe === 'asked' && PROBE_REPLY.test(payload)) {
      this.#probe = 'answered';
      return;
    }
    if (this.#mode === 'fencing' && payload.startsWith(FENCE_REPLY)) return this.#backInStep(events);
    const isStop = STOP_REPLY.test(payload);
    const command = this.#unanswered[0];
    if (command?.expects === 'stop' || (command !== undefined && !isStop)) {
      this.#unanswered.shift();
      this.#attempts = 1;
      events.push({ kind: 'reply', payload });
    } else if (isStop) {
      events.push({ kind: 'stop', payload });
      // The target was running. That is what stopped it if all went well; if not, a command is lost.
      if (this.commandsUnderWay > 1) this.#loseStep('the target stopped in the middle of commands', events);
    }
    // Anything else is late: the caller that asked for it has given up.
  }

  #backInStep(events: LinkEvent[]): void {
    const isStopUntold = this.commandsUnderWay > 0;
    this.giveUp();
    if (isStopUntold) events.push({ kind: 'reply', payload: UNTOLD_STOP });
    this.#mode = 'in-step';
    events.push({ kind: 'in-step', hasHalted: this.#probe === 'asked' });
    this.#probe = 'none';
  }

  #damaged(reason: string, events: LinkEvent[]): void {
    if (this.commandsUnderWay > 1) {
      this.#output += ACK;
      return this.#loseStep(`a packet arrived damaged: ${reason}`, events);
    }
    // Not the reply to a command that has not arrived; and a refusal behind that command would reach a target that it has let run.
    if (this.#unacknowledged.length > 0) return;
    if (this.#mode === 'in-step' && ++this.#attempts <= MAX_ATTEMPTS) {
      this.#output += NAK;
      return;
    }
    this.#output += ACK;
    if (this.#mode === 'fencing') return;
    this.#attempts = 1;
    if (this.commandsUnderWay === 0) return;
    this.#unacknowledged = [];
    this.#unanswered = [];
    events.push({ kind: 'failed', reason: `its reply arrived damaged, ${MAX_ATTEMPTS} times: ${reason}` });
  }

  #loseStep(reason: string, events: LinkEvent[]): void {
    this.giveUp();
    events.push({ kind: 'out-of-step', reason });
  }
}
