/** What Linux knows of an address that leads nowhere: whose it is, which area it is in, and what its entry means. */
import { hex } from '../core/address/va.ts';
import type { Walk } from '../core/paging/walk.ts';
import type { EntryMeaning } from './entries/entry-meaning.ts';
import { longWords } from './entries/meaning-words.ts';
import type { SwapDevice } from './entries/swap-devices.ts';
import type { LinuxGuest } from './linux-guest.ts';
import { type AreaList, type MemoryArea, rightsText } from './maps/memory-area.ts';
import type { Process, ProcessList } from './process/process.ts';

export interface LinuxExplanation {
  /** The process that has the address space; undefined where none is known. */
  readonly process: Process | undefined;
  /** The area that the address is in; undefined where it is in none. */
  readonly area: MemoryArea | undefined;
  readonly meaning: EntryMeaning;
  /** What the page is swapped to; undefined where it is not, or where the device is unknown. */
  readonly device: SwapDevice | undefined;
}

/** Explains addresses of one moment: what was read of the guest for one of them is kept for the others. */
export class Explainer {
  readonly #linux: LinuxGuest;
  #processes: Promise<ProcessList> | undefined;
  readonly #areas = new Map<bigint, Promise<AreaList>>();
  #devices: Promise<readonly SwapDevice[]> | undefined;

  constructor(linux: LinuxGuest) {
    this.#linux = linux;
  }

  /** Undefined for an address that translates, or stops at something else than an entry that is not present. */
  async explain(walk: Walk): Promise<LinuxExplanation | undefined> {
    const last = walk.steps.at(-1);
    if (walk.translates || walk.reason !== 'not-present' || last === undefined) return undefined;
    const meaning = this.#linux.meaningOf(last.value, last.level);
    if (meaning === undefined) return undefined;
    this.#processes ??= this.#linux.processes();
    const { processes } = await this.#processes;
    const process = processes.find(({ roots }) => roots.includes(walk.root));
    const list = process?.mm ? await this.#areasOf(process.mm) : undefined;
    if (meaning.kind === 'swapped') this.#devices ??= this.#linux.swapDevices();
    const devices = (meaning.kind === 'swapped' && (await this.#devices)) || [];
    return {
      process,
      area: list?.areas.find(({ start, end }) => walk.va >= start && walk.va < end),
      meaning,
      device: meaning.kind === 'swapped' ? devices.find(({ number }) => number === meaning.device) : undefined,
    };
  }

  #areasOf(mm: bigint): Promise<AreaList> {
    const known = this.#areas.get(mm) ?? this.#linux.areasOf(mm);
    this.#areas.set(mm, known);
    return known;
  }
}

/** In a sentence or two. */
export function explanationText({ process, area, meaning, device }: LinuxExplanation): string {
  const isAccessible = area && (area.rights.readable || area.rights.writable || area.rights.executable);
  const what = longWords(meaning, { isAccessible, devices: device === undefined ? [] : [device] });
  if (process === undefined) return what;
  const who = `${process.command}[${process.pid}]`;
  if (area === undefined) return `${who} has nothing here${meaning.kind === 'empty' ? '' : `, and yet ${what}`}`;
  const name = area.name === '' ? 'anonymous memory' : area.name;
  return `${who}, ${name} ${hex(area.start)}-${hex(area.end)} ${rightsText(area.rights)}: ${what}`;
}
