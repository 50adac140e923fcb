/** Where the tests' guests run under KVM: on this machine where it has a KVM that works, else in the bed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { tryKvm } from '../../src/drivers/qemu/launch/try-kvm.ts';
import { type BedFiles, buildBed, findBed } from './bed/build.ts';
import { BedMachine } from './bed/machine.ts';
import { makeProjectDisk, PROJECT } from './bed/project-disk.ts';
import type { CALLS } from './inside/calls.ts';
import type { CallReply } from './inside/protocol.ts';

type Calls = typeof CALLS;

/** How a KVM is reached. */
export type KvmPlace =
  | { readonly kind: 'none'; readonly why: string }
  | { readonly kind: 'direct' }
  | {
      readonly kind: 'bed';
      readonly files: BedFiles;
      readonly project: string;
      /** Where the machine's states are: a file each, named after the number of the guest's vCPUs. */
      readonly states: string;
    };

const PROGRAM = 'build/test/kvm/inside/main.js';
const MODULE = '/usr/lib/dr7.ko';
const CALL_TIMEOUT_MS = 240_000;
/** The bed's emulated processor has been seen to sleep on past its timers, until something came in from outside: README.md. */
const NUDGE_MS = 2000;

/** The folder of the state and the project's disk, where the bed is used. */
export interface Preparation {
  readonly place: KvmPlace;
  remove(): void;
}

/**
 * Finds a KVM: this machine's own, else the bed, which is booted with a guest of one vCPU in it and saved.
 *
 * @param wish `required` makes the bed where it has not been made, and otherwise there is none then; `host` uses no bed
 * @throws Error where what is wished for is not to be had; `host` ends the process then
 */
export async function prepare(wish: string | undefined, say: (line: string) => void): Promise<Preparation> {
  const trial = await tryKvm().catch((error: unknown) => ({ works: false, detail: String(error) }) as const);
  if (trial.works && (wish === 'host' || process.env['PTMON_KVM_BED'] !== '1')) {
    say('this machine has a KVM that works: the tests run on it');
    return { place: { kind: 'direct' }, remove: () => {} };
  }
  if (wish === 'host') {
    say(`KVM does not work on this machine: ${trial.works ? '' : trial.detail}`);
    // Whoever sends a report does not need the stack of it.
    process.exit(1);
  }
  if (wish !== 'required' && findBed() === undefined) {
    const why = 'there is no KVM that works, and no test bed; `npm run test:kvm` makes one and runs these tests';
    return { place: { kind: 'none', why }, remove: () => {} };
  }
  const files = buildBed({ say });
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-kvm-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    const project = join(folder, 'project.img');
    makeProjectDisk(project);
    const place = { kind: 'bed', files, project, states: folder } as const;
    const since = performance.now();
    const machine = await BedMachine.boot(files, project);
    const variables = `PTMON_BED_MODULE=${MODULE} PTMON_GUEST_DIR=${PROJECT}/guest-files PTMON_WRITTEN_PAGES=${PROJECT}/written-pages`;
    const program = `exec 4<> /run/ports/calls; exec env ${variables} node ${PROJECT}/${PROGRAM} <&4 >&4 2> /dev/console 3>&-`;
    await machine.shell(`(${program}) &`);
    await call(machine, 'boot', {});
    await machine.save(stateOf(place, 1));
    say(`the bed and its guest are booted and saved after ${((performance.now() - since) / 1000).toFixed(0)} s`);
    return { place, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

/** A process that carries out calls, in a state that no other test has touched. */
export class KvmHost {
  readonly kind: 'bed' | 'direct';
  readonly #end: () => Promise<void>;
  readonly #line: LinePort;

  private constructor(kind: 'bed' | 'direct', line: LinePort, end: () => Promise<void>) {
    this.kind = kind;
    this.#line = line;
    this.#end = end;
  }

  /** With a guest that runs. */
  static async open(place: KvmPlace, cpus = 1): Promise<KvmHost> {
    if (place.kind === 'none') throw new Error(place.why);
    if (place.kind === 'bed') {
      if (!existsSync(stateOf(place, cpus))) await saveWithGuest(place, cpus);
      const machine = await BedMachine.restore(place.files, place.project, stateOf(place, cpus));
      return new KvmHost('bed', linesOf(machine), () => machine.stop());
    }
    const child = spawn(process.execPath, [PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] });
    const host = new KvmHost('direct', linesOfChild(child), () => ended(child));
    await host.call('boot', { smp: cpus });
    return host;
  }

  call<Name extends keyof Calls>(
    name: Name,
    options: Parameters<Calls[Name]>[0],
    timeoutMs: number = CALL_TIMEOUT_MS,
  ): Promise<Awaited<ReturnType<Calls[Name]>>> {
    return exchange(this.#line, name, options, timeoutMs) as Promise<Awaited<ReturnType<Calls[Name]>>>;
  }

  close(): Promise<void> {
    return this.#end();
  }
}

type Bed = Extract<KvmPlace, { kind: 'bed' }>;

function stateOf({ states }: Bed, cpus: number): string {
  return join(states, `state-${cpus}`);
}

/** Boots a guest of so many vCPUs in the bed, once, and saves both. */
async function saveWithGuest(place: Bed, cpus: number): Promise<void> {
  const machine = await BedMachine.restore(place.files, place.project, stateOf(place, 1));
  try {
    await call(machine, 'boot', { smp: cpus });
    // A state that is not complete must not be restored.
    const unfinished = `${stateOf(place, cpus)}.part`;
    await machine.save(unfinished);
    renameSync(unfinished, stateOf(place, cpus));
  } finally {
    await machine.stop();
  }
}

interface LinePort {
  write(line: string): void;
  /** Sends an empty line, which the other end passes over: an interrupt for the machine of the bed. */
  readonly nudge?: () => void;
  /** @returns what ends it */
  onLine(listener: (line: string) => void): () => void;
}

/** A port carries bytes, a character each. */
function linesOf({ ports }: BedMachine): LinePort {
  return {
    nudge: () => ports.calls.write('\n'),
    write: (line) => ports.calls.write(Buffer.from(`${line}\n`).toString('latin1')),
    onLine: (listener) => ports.calls.onLine((line) => listener(Buffer.from(line, 'latin1').toString('utf8'))),
  };
}

function linesOfChild(child: ChildProcess): LinePort {
  const lines = createInterface({ input: child.stdout! });
  return {
    write: (line) => void child.stdin!.write(`${line}\n`),
    onLine: (listener) => {
      lines.on('line', listener);
      return () => void lines.off('line', listener);
    },
  };
}

function call(machine: BedMachine, name: string, options: object): Promise<unknown> {
  return exchange(linesOf(machine), name, options, CALL_TIMEOUT_MS);
}

let calls = 0;

async function exchange(line: LinePort, name: string, options: object, timeoutMs: number): Promise<unknown> {
  const id = ++calls;
  let stop = () => {};
  let timer: NodeJS.Timeout | undefined;
  const nudging = line.nudge && setInterval(line.nudge, NUDGE_MS);
  try {
    const reply = await new Promise<CallReply>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`"${name}" has not been answered within ${timeoutMs} ms`)), timeoutMs);
      stop = line.onLine((text) => {
        if (!text.startsWith('{')) return;
        const said = JSON.parse(text) as CallReply;
        if (said.id === id) resolve(said);
      });
      line.write(JSON.stringify({ id, call: name, options }));
    });
    if ('error' in reply) throw new Error(`"${name}" failed where the KVM is: ${reply.error}`);
    return reply.result;
  } finally {
    stop();
    clearTimeout(timer);
    clearInterval(nudging);
  }
}

async function ended(child: ChildProcess): Promise<void> {
  const end = new Promise((resolve) => {
    child.on('close', resolve);
  });
  child.stdin!.end();
  await end;
}
