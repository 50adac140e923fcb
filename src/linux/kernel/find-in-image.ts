/** Finds the kernel in one address space: where its image is mapped (`find-image`), and in the image its types, build id, first task and root. */
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import { Btf } from '../btf/btf.ts';
import { BTF_HEADER_BYTES, readBtfHeader } from '../btf/header.ts';
import { structureOf } from '../btf/structure.ts';
import { attempt } from '../memory/guest-fault.ts';
import { KernelMemory } from '../memory/kernel-memory.ts';
import { StepRunner } from '../memory/steps.ts';
import { isOfVdso, readBuildId } from './build-id.ts';
import type { FindKernelOptions, KernelSource, LinuxKernel } from './kernel.ts';
import { findImage, type KernelImage } from './find-image.ts';
import { initTaskAt, nameOfTask } from './init-task.ts';
import type { KernelPlaces } from './kernel-places.ts';
import { isKernelRoot, kernelEntriesOf } from './kernel-root.ts';
import { scanImage } from './scan-image.ts';

/** Why an address space has no kernel that can be read. */
export interface NoKernel {
  /** Whether the image of a kernel is mapped all the same. */
  readonly hasImage: boolean;
  readonly why: string;
}

const NO_TYPES =
  'it was built without CONFIG_DEBUG_INFO_BTF, or it has only begun to boot. In the first case it needs --btf FILE, with --symbols or ' +
  'without: its types, as pahole --btf_encode_detached=FILE vmlinux writes them (of a vmlinux with debug information)';

/** BTF is read in pieces of so many bytes. */
const PIECE_BYTES = 1 << 18;
/** Of all that begins like BTF: a memory made to mislead has more. */
const MAX_BTF_BYTES = 1 << 27;

export class ImageSearch {
  readonly #memory: KernelMemory;
  readonly #options: FindKernelOptions;
  readonly #runner: StepRunner;
  #strangeness: string | undefined;
  #btfBytesLeft = MAX_BTF_BYTES;

  constructor(source: KernelSource, memory: KernelMemory, options: FindKernelOptions) {
    this.#memory = memory;
    this.#options = options;
    this.#runner = new StepRunner(source.remote, options.signal);
  }

  /** The kernel, or why there is none. @throws PtmonError what the source throws */
  async run(): Promise<LinuxKernel | NoKernel> {
    const image = await this.#runner.run(() => findImage(this.#memory));
    if (image === undefined) return { hasImage: false, why: 'no code is mapped where Linux has its kernel' };
    for (const places of this.#options.cache?.all() ?? []) {
      const known = await this.#recognise(image, places);
      if (known !== undefined) return known;
    }
    return this.#look(image);
  }

  async #look(image: KernelImage): Promise<LinuxKernel | NoKernel> {
    const { base, pieces } = image;
    const lacking = (what: string) => ({ hasImage: true, why: `a kernel is mapped at ${hex(base)}, but ${what}` });
    const entries = await this.#do(() => kernelEntriesOf(this.#memory, image.userEnd));
    const traces = await scanImage({ image: pieces, memory: this.#memory, entries, runner: this.#runner });
    const own = await firstOf(traces.btf, (at) => this.#readBtf(at));
    const { types } = this.#options;
    const btf = own ?? (types && { at: base, value: types });
    if (btf === undefined) {
      const why = this.#strangeness ?? NO_TYPES;
      return lacking(`no type information (BTF) was found in it: ${why}`);
    }
    const misfit = own === undefined ? whyOthers(btf.value, this.#memory) : undefined;
    if (misfit !== undefined) return lacking(`the types given for it (--btf) are another kernel's: ${misfit}`);
    const initTask = await firstOf(traces.names, (at) => this.#do(() => initTaskAt(this.#memory, btf.value, at)));
    if (initTask === undefined) {
      const given = own === undefined ? ' by the types in --btf: they may be of another kernel' : '';
      return lacking(`its first task was not found${given}`);
    }
    const note = await firstOf(traces.notes, (at) => this.#readNote(at));
    const offset = (va: bigint) => Number(va - base);
    const [kernelRoot] = traces.roots;
    const [gate] = traces.gates;
    const places = {
      note: note === undefined ? 0 : offset(note.at),
      buildId: note?.value ?? '',
      btf: offset(btf.at),
      initTask: offset(initTask.value),
      kernelRoot: kernelRoot === undefined ? null : offset(kernelRoot),
      gate: gate === undefined ? null : offset(gate),
    };
    if (note !== undefined && own !== undefined) this.#options.cache?.add(places);
    return this.#kernel(image, btf.value, places);
  }

  /** A kernel that was looked through before, where this is the same build and everything is where it was. */
  async #recognise(image: KernelImage, places: KernelPlaces): Promise<LinuxKernel | undefined> {
    const at = (offset: number) => image.base + BigInt(offset);
    const buildId = await this.#do(() => readBuildId(this.#memory, at(places.note)));
    if (buildId !== places.buildId) return undefined;
    const btf = await this.#readBtf(at(places.btf));
    if (btf === undefined) return undefined;
    const task = at(places.initTask);
    const isTask = await this.#do(() => initTaskAt(this.#memory, btf, nameOfTask(btf, task)) === task);
    const { kernelRoot } = places;
    const isRoot =
      kernelRoot === null || (await this.#do(() => isKernelRoot(this.#memory, image.userEnd, at(kernelRoot))));
    return isTask && isRoot ? this.#kernel(image, btf, places) : undefined;
  }

  async #kernel({ base, pieces, userEnd }: KernelImage, btf: Btf, places: KernelPlaces): Promise<LinuxKernel> {
    const own = this.#memory;
    const { kernelRoot, buildId } = places;
    const root = kernelRoot === null ? own.root : await this.#do(() => own.pa(base + BigInt(kernelRoot)));
    return {
      memory: new KernelMemory(own.paging, own.physical, root),
      btf,
      base,
      basePa: await this.#do(() => own.pa(base)),
      buildId: buildId === '' ? undefined : buildId,
      initTask: base + BigInt(places.initTask),
      gate: places.gate === null ? undefined : base + BigInt(places.gate),
      image: pieces,
      userEnd,
    };
  }

  async #readBtf(at: bigint): Promise<Btf | undefined> {
    const read = (from: number, byteLength: number) =>
      this.#do(() => attempt(() => this.#memory.bytes(at + BigInt(from), byteLength)));
    try {
      const header = await read(0, BTF_HEADER_BYTES);
      if (header === undefined) return undefined;
      const { byteLength } = readBtfHeader(header);
      if (byteLength > this.#btfBytesLeft) return undefined;
      this.#btfBytesLeft -= byteLength;
      const bytes = new Uint8Array(byteLength);
      for (let done = 0; done < bytes.length; done += PIECE_BYTES) {
        const part = await read(done, Math.min(PIECE_BYTES, bytes.length - done));
        if (part === undefined) return undefined;
        bytes.set(part, done);
      }
      const btf = await this.#runner.run(() => Btf.read(bytes));
      // A module's BTF does not describe tasks.
      nameOfTask(btf, 0n);
      return btf;
    } catch (error) {
      if (!(error instanceof PtmonError) || error.code !== 'corrupt-input') throw error;
      this.#strangeness = error.message;
      return undefined;
    }
  }

  async #readNote(at: bigint): Promise<string | undefined> {
    return this.#do(() => (isOfVdso(this.#memory, at) ? undefined : readBuildId(this.#memory, at)));
  }

  #do<T>(call: () => T): Promise<T> {
    return this.#runner.once(call);
  }
}

/** Why types are of another kernel than this one, by what their structures measure; undefined where they may be its own. */
function whyOthers(btf: Btf, { wordBytes, paging }: KernelMemory): string | undefined {
  const sizes = [
    ['list_head', 2 * wordBytes, `has words of ${wordBytes * 8} bits`],
    // The same version with PAE and without differs in little else, and its memory maps would be wrong.
    ['pgprot', paging.mode.entryBytes, `has page-table entries of ${paging.mode.entryBytes * 8} bits`],
  ] as const;
  for (const [name, byteLength, what] of sizes) {
    const theirs = structureOf(btf, name)?.byteLength;
    if (theirs !== undefined && theirs !== byteLength)
      return `their struct ${name} has ${theirs} bytes, and this kernel, which ${what}, has one of ${byteLength}`;
  }
  return undefined;
}

/** The first of some places where something is, and what. */
async function firstOf<T>(
  places: readonly bigint[],
  read: (at: bigint) => Promise<T | undefined>,
): Promise<{ readonly at: bigint; readonly value: T } | undefined> {
  for (const at of places) {
    const value = await read(at);
    if (value !== undefined) return { at, value };
  }
  return undefined;
}
