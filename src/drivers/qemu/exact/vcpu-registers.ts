/** The registers of all vCPUs that paging depends on, as they were read last. */
import { PtmonError } from '../../../core/error.ts';
import type { PagingRegisters, RegisterAccess } from '../../../driver/driver.ts';
import type { GdbClient } from '../gdb/client.ts';
import type { ThreadId } from '../gdb/reply/thread-id.ts';

export class VcpuRegisters implements RegisterAccess {
  readonly physicalAddressBits?: number;
  readonly #gdb: GdbClient;
  readonly #threads: readonly ThreadId[];
  #read: readonly PagingRegisters[] = [];

  constructor(gdb: GdbClient, threads: readonly ThreadId[], physicalAddressBits: number | undefined) {
    this.#gdb = gdb;
    this.#threads = threads;
    if (physicalAddressBits !== undefined) this.physicalAddressBits = physicalAddressBits;
  }

  get vcpuCount(): number {
    return this.#threads.length;
  }

  /** Reads them anew. The guest must be stopped. */
  async refresh(): Promise<void> {
    const read: PagingRegisters[] = [];
    for (const thread of this.#threads) read.push(await this.#gdb.readRegisters(thread));
    this.#read = read;
  }

  readRegisters(vcpu: number): PagingRegisters {
    const registers = this.#read[vcpu];
    if (registers !== undefined) return registers;
    throw new PtmonError('bad-argument', `there is no vCPU ${vcpu}: the guest has ${this.#threads.length}`, { vcpu });
  }
}
