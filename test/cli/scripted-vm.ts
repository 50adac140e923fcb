/** A QEMU made of a QMP server and a gdbstub of our own, whose guest has page tables. */
import { Machine } from '../core/paging/machine.ts';
import type { PagingOptions } from '../../src/core/paging/format.ts';
import { Stub, type StubOptions } from '../drivers/qemu/gdb/stub.ts';
import { type Command, refusing, returning, startQmpServer } from '../drivers/qemu/qmp/qmp-server.ts';

export interface VmOptions {
  /** As QMP says before anybody connects to the gdbstub; `running` unless told. */
  readonly state?: string;
  readonly kvm?: boolean;
  readonly vcpus?: number;
  readonly target?: string;
  /** Watchpoints that fit; any number unless told. */
  readonly maxWatches?: number;
  /** Watchpoints are debug registers, which stop the guest or do not. */
  readonly debugRegisters?: StubOptions['debugRegisters'];
  readonly isDead?: boolean;
  /** The guest's paging; 4-level by default. */
  readonly mode?: '4-level' | '5-level';
  /** Values of registers, by vCPU; 4-level paging on `ROOT` unless told. */
  readonly registers?: (vcpu: number) => Readonly<Record<string, bigint>>;
  /** Takes the place of the stub's reply. */
  readonly reply?: StubOptions['reply'];
  /** MAXPHYADDR; QEMU refuses to say unless told. */
  readonly physicalAddressBits?: number;
}

/** CR0.PG, CR4.PAE, EFER.LMA and EFER.NXE. */
export const LONG_MODE = { cr0: 0x8001_0001n, cr4: 0x20n, efer: 0xd00n };
export const PAGED_VA = 0x7f12_3456_7abcn;
/** Where page tables, and the root among them, are mapped writable. */
export const ALIAS = 0xffff_8880_0000_0000n;

const RAM_BYTES = 0x20_0000;

export interface ScriptedVm {
  readonly qmp: string;
  readonly gdb: string;
  readonly root: bigint;
  readonly stub: Stub;
  /** Puts an entry into the guest's memory. */
  put(pa: bigint, value: bigint): void;
  /** Where the entry of a level is on the walk of `PAGED_VA`. */
  entryPa(level: number): bigint;
  /** The running guest writes an entry, by `ALIAS`. @returns whether a watchpoint stopped it */
  write(pa: bigint, value: bigint): boolean;
  /** QEMU's word for whether the guest runs. */
  state(): string;
  readonly asked: readonly string[];
}

/** One page at `PAGED_VA`, and 2 MiB of physical memory at `ALIAS`. */
export async function startVm(options: VmOptions = {}): Promise<ScriptedVm> {
  const { mode = '4-level' } = options;
  const paging: PagingOptions = { mode };
  const machine = new Machine(paging);
  const root = machine.chain(PAGED_VA, 1, 0x8000_0000_0012_3067n);
  if (mode === '5-level') machine.put(machine.entryPa(5, root, ALIAS), 0x6_0027n);
  machine.put(machine.entryPa(4, mode === '5-level' ? 0x6_0000n : root, ALIAS), 0x6_1027n);
  machine.put(machine.entryPa(3, 0x6_1000n, ALIAS), 0x6_2027n);
  machine.put(machine.entryPa(2, 0x6_2000n, ALIAS), 0x8000_0000_0000_00e3n);

  const initial = options.state ?? 'running';
  const state = () => (stub.commands.length === 0 ? initial : stub.isRunning ? 'running' : stopped());
  const stopped = () => (initial === 'running' ? 'paused' : initial);
  const stub = await Stub.start({
    vcpus: options.vcpus ?? 1,
    registers: options.registers ?? (() => ({ ...LONG_MODE, cr3: root | 5n })),
    ...(options.maxWatches !== undefined && { maxWatches: options.maxWatches }),
    debugRegisters: options.debugRegisters,
    isDead: options.isDead === true,
    ...(options.reply && { reply: options.reply }),
    memory: (address) => Number(((machine.read(BigInt(address) & ~7n, 8) ?? 0n) >> BigInt((address % 8) * 8)) & 0xffn),
  });
  stub.isRunning = initial === 'running';
  const server = await startQmpServer((command, socket) => {
    const answer = answerTo(command, options, state);
    socket.write(
      answer === undefined ? refusing(command, 'CommandNotFound', 'no such command') : returning(command, answer),
    );
  });
  return {
    qmp: server.address,
    gdb: stub.address,
    root,
    stub,
    put: (pa, value) => machine.put(pa, value),
    entryPa: (level) => {
      let table = root;
      for (let at = mode === '5-level' ? 5 : 4; at > level; at--) {
        table = machine.read(machine.entryPa(at, table, PAGED_VA), 8)! & 0xf_ffff_ffff_f000n;
      }
      return machine.entryPa(level, table, PAGED_VA);
    },
    write: (pa, value) => {
      machine.put(pa, value);
      return stub.write(ALIAS + pa);
    },
    state,
    get asked() {
      return server.commands.map(({ execute }) => execute);
    },
  };
}

/** Undefined where it refuses. */
function answerTo({ execute, arguments: args }: Command, options: VmOptions, state: () => string): unknown {
  const { kvm = false, vcpus = 1, target = 'x86_64', physicalAddressBits } = options;
  switch (execute) {
    case 'query-status':
      return { status: state(), running: state() === 'running' };
    case 'query-kvm':
      return { enabled: kvm, present: true };
    case 'query-cpus-fast':
      return Array.from({ length: vcpus }, (_, at) => ({ 'cpu-index': at, 'qom-path': `/machine/cpu[${at}]`, target }));
    case 'query-memory-size-summary':
      return { 'base-memory': RAM_BYTES };
    case 'qom-list':
      return [];
    case 'qom-get':
      return args?.['property'] === 'phys-bits' ? physicalAddressBits : undefined;
    case 'human-monitor-command':
      return monitor(String(args?.['command-line']));
    default:
      return undefined;
  }
}

function monitor(line: string): string {
  if (line !== 'info mtree -f') return 'unknown command';
  const last = (RAM_BYTES - 1).toString(16).padStart(16, '0');
  return `FlatView #0\r\n AS "memory", root: system\r\n Root memory region: system\r\n  ${'0'.repeat(16)}-${last} (prio 0, ram): pc.ram\r\n`;
}
