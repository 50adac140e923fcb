/**
 * A gdbstub on a real socket that behaves as QEMU's: one byte while the guest runs stops it, `-` repeats only the last packet, the
 * same watchpoint may be set twice, `?` clears those of the chosen vCPU alone, and a second `D` is its death. Faults are injected where
 * a test says.
 */
import type { Socket } from 'node:net';
import { startPeer } from '../transport/peer.ts';
import { DOCUMENTS, registersReply } from './description.ts';

export interface StubOptions {
  readonly kind?: 'unix' | 'tcp';
  readonly features?: string;
  readonly vcpus?: number;
  /** Values of registers, by vCPU. */
  readonly registers?: (vcpu: number) => Readonly<Record<string, bigint>>;
  readonly memory?: (address: number) => number;
  /** Watchpoints that fit; any number by default. */
  readonly maxWatches?: number;
  /**
   * Watchpoints are as under KVM: four, of 1, 2, 4 or 8 bytes that are aligned to that; another is refused with an error. Those that are `dead`
   * are accepted and never stop the guest, as where a nested host loses debug registers.
   */
  readonly debugRegisters?: 'fire' | 'dead' | undefined;
  /** Watchpoints of any number and length never stop the guest. */
  readonly isDead?: boolean;
  /** Takes the place of the reply to a command, where it returns one; null is silence. */
  readonly reply?: (payload: string) => string | null | undefined;
  /** What of a frame to send, whole by default; called for every frame and every acknowledgement. */
  readonly send?: (characters: string) => string;
  /** Says that a command arrived damaged. */
  readonly refuse?: (payload: string) => boolean;
  /**
   * Sends no stop but the one that answers the byte 03 or a command, as QEMU from 8.1 on: whatever else it reads while the guest runs stops
   * that without a word.
   */
  readonly isSilentAboutStops?: boolean;
}

/** A packet, framed anew here, so that the client's own framing is not taken at its word. */
export function packet(payload: string): string {
  const body = payload.replace(/[#$}*]/g, (reserved) => `}${String.fromCharCode(reserved.charCodeAt(0) ^ 0x20)}`);
  const sum = [...body].reduce((total, character) => total + character.charCodeAt(0), 0) & 0xff;
  return `$${body}#${sum.toString(16).padStart(2, '0')}`;
}

export class Stub {
  readonly commands: string[] = [];
  /** Arguments of `Z2`, as often as they are set. */
  watches: string[] = [];
  isRunning = false;
  isPhysical = false;
  /** Bytes that stopped a running guest and were no interrupt. */
  strayStops = 0;
  /** What QEMU 7.2 dies of has come. */
  isDead = false;
  address = '';
  readonly #options: StubOptions;
  #socket: Socket | undefined;
  #buffer = '';
  #lastPacket = '';
  #vcpu = 0;
  #chosen = 1;
  /** vCPUs whose watchpoints were cleared since one was set. */
  readonly #cleared = new Set<number>();
  #hasDetached = false;
  /** A command that lets the guest run has not been answered by a stop yet. */
  #isToTell = false;

  constructor(options: StubOptions = {}) {
    this.#options = options;
  }

  static async start(options: StubOptions = {}): Promise<Stub> {
    const stub = new Stub(options);
    const peer = await startPeer((socket) => stub.#serve(socket), options.kind);
    stub.address = peer.address;
    return stub;
  }

  /** Stops a running guest, and speaks of the thread that stopped from then on. */
  stop(payload: string): void {
    this.isRunning = false;
    this.#isToTell = false;
    this.#vcpu = Number.parseInt(/thread:p01\.(\w+);/.exec(payload)?.[1] ?? '1', 16) - 1;
    this.#put(payload);
  }

  /** A vCPU of the running guest has written there. @returns whether a watchpoint stopped it */
  write(va: bigint, vcpu = 0): boolean {
    if (!this.isRunning || this.#options.debugRegisters === 'dead' || this.#options.isDead === true) return false;
    const hit = this.watches
      .map(parseWatch)
      .find((watch) => va >= watch.va && va < watch.va + BigInt(watch.byteLength));
    if (hit === undefined) return false;
    this.stop(`T05thread:p01.${hex(vcpu + 1)};watch:${hit.va.toString(16)};`);
    return true;
  }

  /** Sends a packet that stops nothing. */
  say(payload: string): void {
    this.#put(payload);
  }

  /** Lets the guest run, as another client of QEMU might. */
  resumeBehindBack(): void {
    this.isRunning = true;
  }

  sendRaw(characters: string): void {
    this.#socket?.write(Buffer.from(characters, 'latin1'));
  }

  hangUp(last = ''): void {
    this.#socket?.end(Buffer.from(last, 'latin1'));
  }

  #serve(socket: Socket): void {
    this.#socket = socket;
    this.#buffer = '';
    this.#hasDetached = false;
    this.#chosen = 1;
    socket.on('data', (chunk: Buffer) => {
      this.#buffer += chunk.toString('latin1');
      while (this.#takeOne());
    });
    // QEMU stops the guest for whoever connects.
    if (this.isRunning) this.#halt('T02thread:p01.01;');
  }

  #takeOne(): boolean {
    const first = this.#buffer[0];
    if (first === undefined) return false;
    if (this.#options.isSilentAboutStops === true) this.#isToTell = false;
    if (this.#lastPacket !== '') {
      if (first === '-') this.#transmit(this.#lastPacket);
      if (first === '+' || first === '$') this.#lastPacket = '';
      if (first !== '$') return this.#drop(1);
    }
    if (this.isRunning) {
      if (first !== '\x03' && !this.#buffer.startsWith('$qAttached#')) this.strayStops++;
      this.#halt('T02thread:p01.01;', first === '\x03');
      return this.#drop(1);
    }
    if (first !== '$') return this.#drop(1);
    const match = /^\$([^#]*)#(..)/s.exec(this.#buffer);
    if (match === null) return false;
    this.#drop(match[0].length);
    const payload = match[1]!.replace(/\}(.)/gs, (_, escaped: string) =>
      String.fromCharCode(escaped.charCodeAt(0) ^ 0x20),
    );
    if (packet(payload) !== match[0] || this.#options.refuse?.(payload) === true) {
      this.#transmit('-');
      return true;
    }
    this.#transmit('+');
    this.commands.push(payload);
    const reply = this.#options.reply?.(payload);
    if (reply === undefined) this.#obey(payload);
    else if (reply !== null) this.#put(reply);
    return true;
  }

  #drop(length: number): true {
    this.#buffer = this.#buffer.slice(length);
    return true;
  }

  #halt(stop: string, wasAskedTo = false): void {
    this.isRunning = false;
    if (wasAskedTo || this.#isToTell || this.#options.isSilentAboutStops !== true) this.#put(stop);
    this.#isToTell = false;
  }

  #put(payload: string): void {
    this.#lastPacket = packet(payload);
    this.#transmit(packet(payload));
  }

  #transmit(characters: string): void {
    this.sendRaw(this.#options.send?.(characters) ?? characters);
  }

  #obey(payload: string): void {
    const [, verb = '', rest = ''] = /^(vCont|[zZ]2,|Hg|Hc|Q[\w.]+|q\w+|.)(.*)$/s.exec(payload) ?? [];
    switch (verb) {
      case 'qSupported':
        return this.#put(
          this.#options.features ?? 'PacketSize=1000;qXfer:features:read+;vContSupported+;multiprocess+',
        );
      case '?':
        this.#cleared.add(this.#chosen);
        if (this.#cleared.size === (this.#options.vcpus ?? 1)) this.watches = [];
        return this.#put(`T05thread:p01.${hex(this.#vcpu + 1)};`);
      case 'qfThreadInfo':
        this.#nextThread = 0;
        return this.#thread();
      case 'qsThreadInfo':
        return this.#thread();
      case 'qXfer':
        return this.#document(rest);
      case 'Hc':
        this.#chosen = Number.parseInt(rest.split('.').at(-1)!, 16);
        return this.#put('OK');
      case 'Hg':
        return this.#select(rest);
      case 'g':
        return this.#put(registersReply(this.#options.registers?.(this.#vcpu) ?? {}));
      case 'm':
        return this.#memory(rest);
      case 'Qqemu.PhyMemMode':
        this.isPhysical = rest === ':1';
        return this.#put('OK');
      case 'Z2,':
        if (!this.#isAccepted(rest)) return this.#put('E22');
        this.watches.push(rest);
        this.#cleared.clear();
        return this.#put('OK');
      case 'z2,': {
        const at = this.watches.indexOf(rest);
        if (at >= 0) this.watches.splice(at, 1);
        return this.#put(at >= 0 ? 'OK' : 'E22');
      }
      case 'vCont':
        this.isRunning = true;
        this.#isToTell = true;
        return;
      case 'D':
        this.isDead ||= this.#hasDetached;
        this.#hasDetached = true;
        this.watches = [];
        this.isRunning = true;
        return this.#put('OK');
      default:
        return this.#put({ qC: 'QCp01.01', qAttached: '1' }[payload] ?? '');
    }
  }

  #isAccepted(argument: string): boolean {
    const { debugRegisters, maxWatches = debugRegisters === undefined ? Number.POSITIVE_INFINITY : 4 } = this.#options;
    const { va, byteLength } = parseWatch(argument);
    const isAligned = [1, 2, 4, 8].includes(byteLength) && va % BigInt(byteLength) === 0n;
    return this.watches.length < maxWatches && (debugRegisters === undefined || isAligned);
  }

  #nextThread = 0;

  #thread(): void {
    const vcpu = this.#nextThread++;
    this.#put(vcpu < (this.#options.vcpus ?? 1) ? `mp01.${hex(vcpu + 1)}` : 'l');
  }

  #document(rest: string): void {
    const match = /^:features:read:(.+):([0-9a-f]+),([0-9a-f]+)$/.exec(rest);
    const document = match === null ? undefined : DOCUMENTS[match[1]!];
    if (match === null || document === undefined) return this.#put('E00');
    const start = Number.parseInt(match[2]!, 16);
    const end = start + Math.min(Number.parseInt(match[3]!, 16), 512);
    this.#put(`${end < document.length ? 'm' : 'l'}${document.slice(start, end)}`);
  }

  #select(thread: string): void {
    const vcpu = Number.parseInt(thread.split('.').at(-1)!, 16) - 1;
    if (vcpu >= (this.#options.vcpus ?? 1)) return this.#put('E22');
    this.#vcpu = vcpu;
    this.#put('OK');
  }

  #memory(rest: string): void {
    const [address, byteLength] = rest.split(',').map((digits) => Number.parseInt(digits, 16));
    if (byteLength! > 2048) return this.#put('E22');
    const bytes = Array.from({ length: byteLength! }, (_, at) => this.#options.memory?.(address! + at) ?? 0);
    this.#put(Buffer.from(bytes).toString('hex'));
  }
}

function hex(value: number): string {
  return value.toString(16).padStart(2, '0');
}

function parseWatch(argument: string): { readonly va: bigint; readonly byteLength: number } {
  const [va = '', byteLength = ''] = argument.split(',');
  return { va: BigInt(`0x${va}`), byteLength: Number.parseInt(byteLength, 16) };
}
