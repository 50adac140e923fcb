/** The Linux of a snapshot, read when a command first needs it: its kernel's names, and the process that the options choose. */
import { open, readFile, stat } from 'node:fs/promises';
import { PtmonError } from '../../core/error.ts';
import { hex } from '../../core/address/va.ts';
import { notAFile, openError } from '../../driver/input-file.ts';
import type { LongWorkOptions } from '../../driver/pacer.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import type { Btf, KernelNames, LinuxGuest, MemoryArea, Process, SymbolFile, SymbolTable } from '../../linux/index.ts';
import type { AddressSpace } from '../../snapshot/index.ts';
import type { SourceAndSpaceOptions } from '../options/source.ts';
import { chooseProcess } from './choose-process.ts';

export interface LinuxViewRequest {
  readonly snapshot: Snapshot;
  /** The address space to begin in. */
  readonly space: AddressSpace;
  readonly options: SourceAndSpaceOptions;
  readonly work: LongWorkOptions;
  readonly onWarning?: (warning: string) => void;
}

export class LinuxView {
  readonly #request: LinuxViewRequest;
  #guest: Promise<LinuxGuest> | undefined;
  #names: Promise<KernelNames | undefined> | undefined;

  constructor(request: LinuxViewRequest) {
    this.#request = request;
  }

  /** @throws PtmonError as `openLinux` */
  guest(): Promise<LinuxGuest> {
    this.#guest ??= this.#open();
    return this.#guest;
  }

  /** Undefined without a known Linux. */
  guestIfAny(): Promise<LinuxGuest | undefined> {
    return this.guest().catch(noLinux);
  }

  /**
   * The kernel's symbols and areas; undefined without a known Linux.
   *
   * @throws PtmonError `source-unavailable` and `corrupt-input` where the options name a file of symbols that does not fit
   */
  names(): Promise<KernelNames | undefined> {
    this.#names ??= this.#readNames();
    return this.#names;
  }

  /** The process that --pid or --comm names; undefined without either. @throws PtmonError `bad-argument` where there is none, or several */
  async process(): Promise<Process | undefined> {
    const { pid, comm } = this.#request.options;
    if (pid === undefined && comm === undefined) return undefined;
    return chooseProcess(await (await this.guest()).processes(), this.#request.options);
  }

  /** The memory areas of the process that has this top-level table; none without one. */
  async areasOf(root: number): Promise<readonly MemoryArea[]> {
    const linux = await this.guestIfAny();
    if (linux === undefined) return [];
    const { processes } = await linux.processes();
    const owner = processes.find(({ roots }) => roots.includes(root));
    return owner === undefined || owner.mm === null ? [] : (await linux.areasOf(owner.mm)).areas;
  }

  async #open(): Promise<LinuxGuest> {
    const { snapshot, space, options, work, onWarning } = this.#request;
    const isOwn = options.root === 'current' && options.paging === undefined && !space.isGuess;
    const { kernelCache, openLinux } = await import('../../linux/index.ts');
    const types = options.btf === undefined ? undefined : await typesIn(options.btf);
    return openLinux(snapshot, {
      cache: kernelCache(),
      ...(work.signal !== undefined && { signal: work.signal }),
      ...(!isOwn && { space }),
      ...(types !== undefined && { types }),
      ...(onWarning !== undefined && { onWarning }),
    });
  }

  async #readNames(): Promise<KernelNames | undefined> {
    const { symbols } = this.#request.options;
    if (symbols === undefined) return (await this.guestIfAny())?.names();
    const linux = await this.guest();
    return linux.names(await symbolsIn(symbols, linux));
  }
}

/** The address space of a process. */
export function spaceOf(process: Process, space: AddressSpace): AddressSpace {
  const [root] = process.roots;
  if (root === undefined) return space;
  const from = `root ${hex(root)} (${process.command}[${process.pid}]), ${space.paging.mode.name} paging`;
  return { ...space, root, from, isGuess: false };
}

/** Ignores the errors that say that no Linux is known. @throws any other error */
export function noLinux(error: unknown): undefined {
  if (error instanceof PtmonError && (error.code === 'source-unavailable' || error.code === 'corrupt-input')) return;
  throw error;
}

/** Does `work` with a file. Before it is opened: to open a pipe is to wait for its writer. @throws PtmonError `source-unavailable` */
async function ofFile<T>(name: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    if ((await stat(path)).isFile()) return await work();
  } catch (error) {
    throw openError(name, error);
  }
  throw notAFile(name);
}

/** @throws PtmonError `source-unavailable` for a file that cannot be read; `corrupt-input` for one that is no BTF */
export async function typesIn(path: string): Promise<Btf> {
  const { Btf } = await import('../../linux/index.ts');
  const bytes = await ofFile(`--btf ${path}`, path, () => readFile(path));
  try {
    return new Btf(bytes);
  } catch (error) {
    if (!(error instanceof PtmonError)) throw error;
    throw new PtmonError(error.code, `--btf ${path}: ${error.message}`, error.facts, { cause: error });
  }
}

/** @throws PtmonError `source-unavailable` for a file that cannot be read; `corrupt-input` for one that has no symbols */
async function symbolsIn(path: string, linux: LinuxGuest): Promise<SymbolTable> {
  const { readSymbolFile } = await import('../../linux/index.ts');
  const file = await ofFile(`--symbols ${path}`, path, () => open(path));
  try {
    const { size } = await file.stat();
    const source: SymbolFile = {
      byteLength: size,
      read: async (offset, byteLength) => {
        const { bytesRead, buffer } = await file.read(new Uint8Array(byteLength), 0, byteLength, offset);
        return buffer.subarray(0, bytesRead);
      },
    };
    const { base, initTask, memory } = linux.kernel;
    const own = await linux.ownSymbols().catch(noLinux);
    const place = { base, initTask, kernelStart: memory.kernelStart, own };
    return await readSymbolFile(source, place);
  } catch (error) {
    if (!(error instanceof PtmonError)) throw error;
    throw new PtmonError(error.code, `--symbols ${path}: ${error.message}`, error.facts, { cause: error });
  } finally {
    await file.close();
  }
}
