/**
 * Whether a KVM works on this host, found out by running a guest on it.
 *
 * That /dev/kvm opens, and even that KVM_CREATE_VM succeeds, proves nothing: some nested hosts emulate one instruction after the other,
 * and a guest's kernel soon ends at one that they do not know.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PtmonError } from '../../../core/error.ts';
import { findQemu } from './find-qemu.ts';

/** How long QEMU may take until the guest is in 64-bit mode. */
const START_TIMEOUT_MS = 10_000;
/** A processor takes a hundredth of a second for the loop below; an emulator of single instructions, half a minute. */
const LOOP_TIMEOUT_MS = 2000;

/** The guest says it by the device isa-debug-exit, which ends QEMU with twice the value plus one. */
const VALUE = 0x2a;
const EXIT_CODE = 2 * VALUE + 1;

const FIRMWARE_BYTES = 1 << 16;

/** Firmware is mapped below 1 MiB, too. */
const BASE = 0xf0000;
const GDT_AT = 0x100;
const GDT_POINTER_AT = 0x110;
const LONG_MODE_AT = 0x200;
/** Where a processor begins: 16 bytes before the end. SDM vol. 3A, 10.1.4. */
const RESET_AT = 0xfff0;

/** Goes from real mode to 64-bit mode at once (SDM vol. 3A, 10.8.5), with one 2 MiB page at address 0. */
const REAL_MODE = [
  ...[0x31, 0xc0, 0x8e, 0xd8], //                                     xor ax, ax; mov ds, ax
  ...[0xc7, 0x06, 0x00, 0x10, 0x03, 0x20], //                         PML4 at 0x1000: entry 0 is the table at 0x2000
  ...[0xc7, 0x06, 0x00, 0x20, 0x03, 0x30], //                         PDPT at 0x2000: entry 0 is the table at 0x3000
  ...[0xc7, 0x06, 0x00, 0x30, 0x83, 0x00], //                         PD at 0x3000: entry 0 is the page at 0
  ...[0x66, 0xb8, 0x20, 0x00, 0x00, 0x00, 0x0f, 0x22, 0xe0], //       mov eax, 0x20; mov cr4, eax: PAE
  ...[0x66, 0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8], //       mov eax, 0x1000; mov cr3, eax
  ...[0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32], //             mov ecx, 0xc0000080; rdmsr
  ...[0x66, 0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30], //             or eax, 0x100; wrmsr: EFER.LME
  ...[0x2e, 0x66, 0x0f, 0x01, 0x16, 0x10, 0x01], //                   lgdt cs:[0x110]
  ...[0x0f, 0x20, 0xc0, 0x66, 0x0d, 0x01, 0x00, 0x00, 0x80], //       mov eax, cr0; or eax, 0x80000001
  ...[0x0f, 0x22, 0xc0, 0x66, 0xea, 0x00, 0x02, 0x0f, 0x00, 0x08, 0x00], // mov cr0, eax; jmp 8:0xf0200
];

/** Nothing, and 64-bit code that has been accessed: firmware cannot be written to. */
const GDT = [...Array.from({ length: 8 }, () => 0), 0xff, 0xff, 0x00, 0x00, 0x00, 0x9b, 0xaf, 0x00];
const GDT_POINTER = [GDT.length - 1, 0, ...[0, 8, 16, 24].map((shift) => ((BASE + GDT_AT) >> shift) & 0xff)];

const LONG_MODE = [
  ...[0xb0, 0x2b, 0xe6, 0xe9], //       mov al, '+'; out 0xe9, al: to the debug console
  ...[0xb9, 0x80, 0x96, 0x98, 0x00], // mov ecx, 10,000,000
  ...[0xff, 0xc9, 0x75, 0xfc], //       dec ecx; jnz there
  ...[0xb0, VALUE, 0xe6, 0xf4, 0xf4], // mov al, VALUE; out 0xf4, al; hlt
];

/** jmp 0xf000:0 */
const RESET = [0xea, 0x00, 0x00, 0x00, 0xf0];

function firmware(): Uint8Array {
  const image = new Uint8Array(FIRMWARE_BYTES);
  image.set(REAL_MODE, 0);
  image.set(GDT, GDT_AT);
  image.set(GDT_POINTER, GDT_POINTER_AT);
  image.set(LONG_MODE, LONG_MODE_AT);
  image.set(RESET, RESET_AT);
  return image;
}

export interface TrialOptions {
  /** QEMU's path; the one on the PATH if absent. */
  readonly qemu?: string;
  /** Default `kvm`; the trial itself is tried with `tcg`. */
  readonly accelerator?: 'kvm' | 'tcg';
  /** How long the guest may take for a loop of ten million rounds; default 2 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** `detail` says in a line why it does not work. */
export type KvmTrial = { readonly works: true } | { readonly works: false; readonly detail: string };

/**
 * Runs a guest of a few instructions, in 64-bit mode with paging on.
 *
 * @throws PtmonError `source-unavailable` where there is no QEMU to try with; the reason of `signal` when it is aborted
 */
export async function tryKvm(options: TrialOptions = {}): Promise<KvmTrial> {
  const { accelerator = 'kvm', timeoutMs = LOOP_TIMEOUT_MS, signal } = options;
  const qemu = findQemu(options.qemu);
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-kvm-trial-'));
  try {
    const image = join(folder, 'firmware');
    writeFileSync(image, firmware());
    const { code, said } = await runQemu(qemu, argumentsFor(image, accelerator), timeoutMs, signal);
    signal?.throwIfAborted();
    if (code === EXIT_CODE) return { works: true };
    return { works: false, detail: whyNot(code, said, timeoutMs) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function argumentsFor(image: string, accelerator: string): string[] {
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-m', '16M'],
    ...['-machine', `pc,accel=${accelerator}`, '-cpu', 'qemu64', '-bios', image],
    ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=1', '-debugcon', 'stdio'],
  ];
}

interface Ended {
  /** Undefined where it took too long. */
  readonly code: number | undefined;
  readonly said: string;
}

function runQemu(qemu: string, args: readonly string[], timeoutMs: number, signal?: AbortSignal): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(qemu, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    let isLate = false;
    const kill = () => child.kill('SIGKILL');
    const late = () => {
      isLate = true;
      kill();
    };
    let timer = setTimeout(late, START_TIMEOUT_MS);
    // The guest says that its loop begins.
    child.stdout.once('data', () => {
      clearTimeout(timer);
      timer = setTimeout(late, timeoutMs);
    });
    signal?.addEventListener('abort', kill, { once: true });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4000);
    });
    const over = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', kill);
    };
    child.on('error', (cause) => {
      over();
      reject(new PtmonError('source-unavailable', `${qemu} cannot be started: ${cause.message}`, {}, { cause }));
    });
    child.on('close', (code, ending) => {
      over();
      const end = ending === null ? `QEMU ended with exit code ${code}` : `QEMU was ended by ${ending}`;
      resolve({ code: isLate ? undefined : (code ?? -1), said: said.trim() || end });
    });
  });
}

function whyNot(code: number | undefined, said: string, timeoutMs: number): string {
  if (code === undefined) return `a guest of a few instructions does not finish a loop within ${timeoutMs / 1000} s`;
  // -no-reboot ends QEMU where the guest resets: a triple fault.
  if (code === 0) return 'a guest of a few instructions resets';
  const [first = said] = said.split('\n').filter((line) => !line.includes('warning:'));
  const right = first.includes('Permission denied') ? ' (your user must be in the group kvm, or be root)' : '';
  return first.replace(/^\S*qemu\S*: /, '') + right;
}
