/** Runs a script with a guest in scope. */
import { existsSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { PtmonError } from '../../../core/error.ts';
import { isDevice, isFolder } from '../../../driver/make-folder.ts';
import { attach, type Guest, type GuestFile, type QemuSockets } from '../../../guest/index.ts';
import { unlessAborted } from '../../../guest/session/unless-aborted.ts';
import type { CommandContext } from '../../context.ts';
import { EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';

export interface Script {
  /** A path. */
  readonly script: string;
  readonly args: readonly string[];
  readonly where: QemuSockets | GuestFile;
  /** As `AttachOptions`. */
  readonly proof: boolean;
}

/** What a script finds in its global scope. */
interface ScriptScope {
  guest: Guest;
  args: readonly string[];
}

/** @throws PtmonError `bad-argument` for a script that this Node cannot run; as `attach`; what the script throws */
export function runScript({ script, args, where, proof }: Script, context: CommandContext): Promise<void> {
  const path = resolve(script);
  checkScript(path, script);
  return interruptible(context, async (signal) => {
    const guest = await attach(where, { signal, proof });
    // A script may wait for what never comes.
    signal.throwIfAborted();
    Object.assign(globalThis, { guest, args } satisfies ScriptScope);
    try {
      await unlessAborted(signal, unlessStuck(script, import(pathToFileURL(path).href)));
      signal.throwIfAborted();
    } catch (error) {
      // What fails because the guest was released is no failure of the script.
      signal.throwIfAborted();
      throw readable(error, script);
    } finally {
      await guest.close();
    }
    return EXIT_OK;
  });
}

/**
 * Node ends without a word where everything waits and nothing runs.
 *
 * @param what names who waits
 * @throws PtmonError `bad-argument` then; as `work`
 */
export async function unlessStuck<T>(what: string, work: Promise<T>): Promise<T> {
  const stuck = new AbortController();
  const why = `${what} waits for what can never come: nothing else runs; "await guest.run()" waits for the guest`;
  const onIdle = () => stuck.abort(new PtmonError('bad-argument', why));
  process.once('beforeExit', onIdle);
  try {
    return await unlessAborted(stuck.signal, work);
  } finally {
    process.off('beforeExit', onIdle);
  }
}

/** Node prints where a file cannot be parsed only if it runs it itself. */
function readable(error: unknown, script: string): unknown {
  if (!(error instanceof SyntaxError) || error.stack?.includes('file:') === true) return error;
  return new PtmonError(
    'bad-argument',
    `${script}: ${error.message} (node --check ${script} shows where)`,
    {},
    { cause: error },
  );
}

/** Node takes a file without an ending for a script, too. */
const SCRIPT_ENDINGS = ['.mjs', '.js', '.cjs', '.ts', '.mts', '.cts', ''];

function checkScript(path: string, given: string): void {
  if (!existsSync(path)) throw new PtmonError('bad-argument', `${given} does not exist`);
  if (isFolder(path)) throw new PtmonError('bad-argument', `${given} is a folder: name a script in it`);
  if (isDevice(path)) throw new PtmonError('bad-argument', `${given} is a device`);
  if (!SCRIPT_ENDINGS.includes(extname(path))) {
    throw new PtmonError('bad-argument', `${given} is not a script: its name must end in .mjs, .js or .ts`);
  }
  const stripsTypes = 'typescript' in process.features && process.features.typescript !== false;
  if (!['.ts', '.mts'].includes(extname(path)) || stripsTypes) return;
  throw new PtmonError(
    'bad-argument',
    `${given}: this Node (${process.version}) does not strip types; use Node 22.18 or newer, or write the script as .mjs`,
  );
}
