/** A guest that reads one address at a time, through page tables that the test writes into its RAM. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { QmpClient } from '../../../src/drivers/qemu/qmp/index.ts';
import { temporaryFolder } from '../../drivers/qemu/transport/peer.ts';
import { type FirmwareGuest, startFirmware } from '../firmware-guest.ts';

/** The mailbox of firmware.S. */
const REQUEST = 0x500;
const REPLY = 0x504;
const ADDRESS = 0x508;
const OUTCOME = 0x510;
const ERROR_CODE = 0x514;
const VALUE = 0x518;
const CONTROL = 0x520;

const OUTCOMES = ['', 'read', 'page fault', 'general protection'] as const;
/** In the error code of a page fault: an entry has a reserved bit set. */
const RSVD = 8;

export interface Probe {
  readonly outcome: (typeof OUTCOMES)[number];
  /** Whether the fault was for a reserved bit. */
  readonly isReserved: boolean;
  readonly value: number;
}

export interface ProbeControl {
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  readonly is64: boolean;
}

/**
 * Returns whether the guest's code can be assembled; where not, prints which tests are left out.
 *
 * @throws where PTMON_LIVE=required and gcc is missing
 */
export function hasAssembler(what: string): boolean {
  if (spawnSync('gcc', ['--version'], { stdio: 'ignore' }).status === 0) return true;
  const missing = 'gcc is not installed, which assembles the guest; on Debian: apt-get install gcc';
  if (process.env['PTMON_LIVE'] === 'required') throw new Error(`${what} cannot run: ${missing}`);
  process.stderr.write(`LEFT OUT: ${what}: ${missing}\n`);
  return false;
}

/** TCG has Intel's rules and 1 GiB pages all the same: what CPUID says of them is not for a driver to use. */
const CPU = 'max,vendor=AuthenticAMD,-pdpe1gb';

export class ProbedGuest {
  readonly guest: FirmwareGuest;
  /** The file that is the guest's 16 MiB of RAM. */
  readonly ram: string;
  readonly #fd: number;
  #request = 0;

  private constructor(guest: FirmwareGuest, ram: string, fd: number) {
    this.guest = guest;
    this.ram = ram;
    this.#fd = fd;
  }

  /** Starts the guest; its paging is on once `prepare` has written the tables and the first probe is made. */
  static async start(control: ProbeControl, prepare: (guest: ProbedGuest) => void): Promise<ProbedGuest> {
    const folder = temporaryFolder();
    const ram = join(folder, 'ram');
    const memory = `memory-backend-file,id=mem,size=16M,mem-path=${ram},share=on`;
    const more = ['-bios', assemble(folder), '-object', memory, '-machine', 'memory-backend=mem', '-cpu', CPU];
    const guest = await startFirmware('unix', more);
    const fd = openSync(ram, 'r+');
    onTestFinished(() => closeSync(fd));
    const probed = new ProbedGuest(guest, ram, fd);
    probed.#put32(CONTROL, control.cr4, control.cr3, control.efer, control.is64 ? 1 : 0);
    prepare(probed);
    const qmp = await QmpClient.connect(guest.qmp);
    await qmp.execute('cont');
    await qmp.close();
    return probed;
  }

  putEntry(pa: number, value: bigint, byteLength: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(value);
    writeSync(this.#fd, bytes, 0, byteLength, pa);
  }

  entryAt(pa: number, byteLength: number): bigint {
    const bytes = Buffer.alloc(8);
    readSync(this.#fd, bytes, 0, byteLength, pa);
    return bytes.readBigUInt64LE();
  }

  /** Flushes the TLB and reads 32 bits at a virtual address. */
  async probe(va: bigint): Promise<Probe> {
    this.putEntry(ADDRESS, va, 8);
    this.#put32(REQUEST, ++this.#request);
    for (let waitedMs = 0; this.#get32(REPLY) !== this.#request; waitedMs++) {
      if (waitedMs > 20_000) throw new Error(`the guest does not answer for ${va.toString(16)}`);
      if (waitedMs > 20) await sleep(1);
    }
    const outcome = OUTCOMES[this.#get32(OUTCOME)] ?? '';
    const isReserved = outcome === 'page fault' && (this.#get32(ERROR_CODE) & RSVD) !== 0;
    return { outcome, isReserved, value: this.#get32(VALUE) };
  }

  #put32(pa: number, ...values: readonly number[]): void {
    for (const [index, value] of values.entries()) this.putEntry(pa + index * 4, BigInt(value), 4);
  }

  #get32(pa: number): number {
    return Number(this.entryAt(pa, 4));
  }
}

function assemble(folder: string): string {
  const rom = assembleAt(join(import.meta.dirname, 'firmware.S'), 0xf_0000, folder);
  if (readFileSync(rom).length !== 0x1_0000) throw new Error('the firmware is not 64 KiB');
  return rom;
}

/** @returns the file with the code for this address */
export function assembleAt(source: string, address: number, folder: string): string {
  const [object, rom] = [join(folder, 'code.o'), join(folder, 'code')];
  const at = `0x${address.toString(16)}`;
  for (const [program, ...args] of [
    ['gcc', '-c', '-m64', '-o', object, source],
    ['ld', `-Ttext=${at}`, '-e', at, '--oformat', 'binary', '-o', rom, object],
  ] as [string, ...string[]][]) {
    const { status, stderr } = spawnSync(program, args);
    if (status !== 0) throw new Error(`${program} does not assemble ${source}: ${String(stderr)}`);
  }
  return rom;
}
