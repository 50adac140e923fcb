/** The address spaces of a recording, as its events tell of them. */
import { hex } from '../../core/address/va.ts';
import type { MonitorEvent } from '../../core/monitor/events.ts';
import { arrangeAreas, type NamedPages } from '../picture/areas.ts';
import { SWAPPED_LOOK } from '../picture/look.ts';
import { type Run, RunMap } from '../picture/runs.ts';
import type { Change, Space, Step } from '../picture/scene.ts';
import { isSwapIn, isSwapOut, namesOf, pidIn } from './scene-events.ts';
import { type Span, spanOf } from './space-runs.ts';

export interface RecordedSpace {
  readonly root: number;
  name: string;
  readonly map: RunMap;
  /** What it has before the first step. */
  initial: readonly Run[];
  /** All pages that it ever had, and the names that events gave them. */
  readonly pages: NamedPages[];
  isGone: boolean;
}

export class RecordedSpaces {
  readonly steps: Step[] = [];
  /** By space and page, the step with its last page-out. */
  readonly #lastOut = new Map<string, number>();
  readonly #spaces: RecordedSpace[] = [];
  /** The index of the space that a root is now. */
  readonly #byRoot = new Map<number, number>();

  at(index: number): RecordedSpace {
    return this.#spaces[index]!;
  }

  /**
   * The space of a root, and what that clears: a root of another process now is another space.
   *
   * @param isEnd whether this is the end of it: each watch of an address space has an end of its own
   */
  of(root: number, name: string, isEnd = false): { readonly index: number; readonly cleared: readonly Change[] } {
    const known = this.#byRoot.get(root);
    const space = this.#spaces[known ?? -1];
    const isOther = space !== undefined && pidIn(name) !== null && ![null, pidIn(name)].includes(pidIn(space.name));
    if (known !== undefined && space !== undefined && !isOther && (isEnd || !space.isGone)) {
      // A range is watched before an event says whose it is, and exec(2) gives its process another name.
      if (name !== unnamedSpace(root)) space.name = name;
      return { index: known, cleared: [] };
    }
    const index = this.#spaces.push({ root, name, map: new RunMap(), initial: [], pages: [], isGone: false }) - 1;
    this.#byRoot.set(root, index);
    return { index, cleared: known === undefined ? [] : this.#clear(known) };
  }

  /** What an event changes. @param runs what is behind its pages from now on */
  changesBy(event: MonitorEvent, index: number, runs: readonly Run[]): Change[] {
    const space = this.at(index);
    if (event.kind === 'root-gone') {
      space.isGone = true;
      return this.#clear(index);
    }
    const span = spanOf(event.va, event.pages);
    space.pages.push({ vpn: span.from, pages: event.pages, name: namesOf(event).area });
    if (event.kind === 'page-out') this.#noteOut(index, span);
    if (isSwapIn(event)) this.noteSwapped(index, span);
    const isOnDisk = isSwapOut(event) && runs.length === 0;
    return [this.put(index, span, isOnDisk ? [[span.from, event.pages, SWAPPED_LOOK, -1]] : runs)];
  }

  put(index: number, { from, to }: Span, runs: readonly Run[]): Change {
    this.at(index).map.replace(from, to, runs);
    return [index, from, to - from, runs];
  }

  /** As they are before the first step, with areas for all that comes. */
  all(): Space[] {
    return this.#spaces.map(({ root, name, initial, pages }) => {
      return { root, name, pid: pidIn(name), areas: arrangeAreas(pages), runs: initial };
    });
  }

  /** Pages go with the step that comes next. */
  #noteOut(index: number, { from, to }: Span): void {
    for (let vpn = from; vpn < to; vpn++) this.#lastOut.set(`${index} ${vpn}`, this.steps.length);
  }

  /** Linux clears an entry, which is the event, before it writes where the page went, which is none. Belongs to the page-out. */
  noteSwapped(index: number, { from, to }: Span): void {
    for (let vpn = from; vpn < to; vpn++) {
      const key = `${index} ${vpn}`;
      const step = this.steps[this.#lastOut.get(key) ?? -1];
      (step?.changes as Change[] | undefined)?.push([index, vpn, 1, [[vpn, 1, SWAPPED_LOOK, -1]]]);
      this.#lastOut.delete(key);
    }
  }

  /** The pages that went and have not come back, by space that is still there. */
  *stillOut(): Iterable<{ readonly index: number; readonly root: number; readonly span: Span }> {
    for (const key of [...this.#lastOut.keys()]) {
      const [index, vpn] = key.split(' ').map(Number) as [number, number];
      const { root, map, isGone } = this.at(index);
      if (!isGone && this.#byRoot.get(root) === index && map.at(vpn) === undefined)
        yield { index, root, span: { from: vpn, to: vpn + 1 } };
    }
  }

  #clear(index: number): Change[] {
    const { runs } = this.at(index).map;
    const [first, last] = [runs[0], runs.at(-1)];
    if (first === undefined || last === undefined) return [];
    return [this.put(index, { from: first[0], to: last[0] + last[1] }, [])];
  }
}

function unnamedSpace(root: number): string {
  return `root ${hex(root)}`;
}
