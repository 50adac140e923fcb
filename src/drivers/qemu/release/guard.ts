/** Has the guardian process look after a guest, for as long as this process may leave it stopped. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import process from 'node:process';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { formatSocketAddress, parseSocketAddress } from '../transport/socket-address.ts';
import { isVirshAddress } from '../transport/virsh-transport.ts';
import type { GuardedGuest, GuardianMessage } from './guarded-guest.ts';

/** In the package, wherever this module was bundled to. */
const GUARDIAN = 'dist/drivers/qemu/release/guardian.js';

/** A script that visits a guest again and again uses one guardian for all visits. */
const IDLE_MS = 5000;

/** A guardian that was killed is replaced, so often. */
const MAX_STARTS = 8;

export interface Guard {
  /** Whether another client of QEMU wants the guest stopped: it is left so then. */
  setHeld(isHeld: boolean): void;
  /** The guest was left in good order. May be called again. */
  done(): void;
}

type GuardianProcess = ChildProcessByStdio<Writable, null, null>;

/** One for this process, while it has guests. */
class Guardian {
  readonly #guests = new Map<number, GuardedGuest>();
  #lastId = 0;
  #starts = 0;
  #process: GuardianProcess | undefined;
  #idle: NodeJS.Timeout | undefined;

  guard(guest: GuardedGuest): Guard {
    const id = ++this.#lastId;
    this.#set(id, guest);
    return {
      setHeld: (isHeld) => {
        const known = this.#guests.get(id);
        if (known !== undefined && known.isHeld !== isHeld) this.#set(id, { ...known, isHeld });
      },
      done: () => this.#delete(id),
    };
  }

  #set(id: number, guest: GuardedGuest): void {
    clearTimeout(this.#idle);
    this.#guests.set(id, guest);
    if (this.#process === undefined) this.#start();
    else this.#send({ kind: 'guard', id, guest });
  }

  #delete(id: number): void {
    if (!this.#guests.delete(id)) return;
    this.#send({ kind: 'done', id });
    if (this.#guests.size > 0) return;
    this.#starts = 0;
    this.#idle = setTimeout(() => this.#end(), IDLE_MS).unref();
  }

  #start(): void {
    const path = guardianPath();
    if (path === undefined) return warnOnce();
    if (++this.#starts > MAX_STARTS) return;
    // A session of its own: neither Ctrl-C nor a SIGKILL of our process group reaches it.
    const child: GuardianProcess = spawn(process.execPath, [path], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    this.#process = child;
    const gone = () => {
      if (this.#process !== child) return;
      this.#process = undefined;
      if (this.#guests.size > 0) this.#start();
    };
    child.on('error', gone).on('exit', gone);
    child.stdin.on('error', () => {});
    // It must not keep this process alive.
    child.unref();
    (child.stdin as Writable & { unref?(): void }).unref?.();
    for (const [id, guest] of this.#guests) this.#send({ kind: 'guard', id, guest });
  }

  #send(message: GuardianMessage): void {
    this.#process?.stdin.write(`${JSON.stringify(message)}\n`);
  }

  #end(): void {
    const child = this.#process;
    this.#process = undefined;
    child?.stdin.end();
  }
}

const guardian = new Guardian();

/**
 * From this call until `done`, any end of this process has the guardian release the guest: the watchpoints are cleared and the guest
 * runs on, or stays stopped where another client wants it to.
 */
export function guardGuest({ gdb, qmp, isHeld }: GuardedGuest): Guard {
  return guardian.guard({ gdb: absolute(gdb), qmp: qmp === undefined ? undefined : absolute(qmp), isHeld });
}

/** The guardian starts where this process is now, which may go elsewhere. An address that is too long stays as it is. */
function absolute(address: string): string {
  if (isVirshAddress(address)) return address;
  const target = parseSocketAddress(address);
  if (target.kind !== 'unix') return address;
  const path = resolve(target.path);
  return Buffer.byteLength(path) > 107 ? address : formatSocketAddress({ kind: 'unix', path });
}

let hasWarned = false;

function warnOnce(): void {
  if (hasWarned) return;
  hasWarned = true;
  process.emitWarning(`${GUARDIAN} is missing: if this process is killed, its guests may stay stopped`, 'PtmonWarning');
}

function guardianPath(): string | undefined {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const path = join(folder, GUARDIAN);
    if (existsSync(path)) return path;
    if (folder === dirname(folder)) return undefined;
  }
}
