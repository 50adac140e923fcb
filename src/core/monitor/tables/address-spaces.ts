/** The address spaces that have watched addresses, by view and root. */
import type { Pa } from '../../address/types.ts';
import { AddressSpace, type SpaceOptions } from './address-space.ts';

export class AddressSpaces {
  readonly #options: SpaceOptions;
  readonly #views = new Map<number, Map<Pa, AddressSpace>>();
  /** Whether any range may be watched: set with the first one, cleared with the last address space. */
  hasRanges = false;
  /** The space that `find` returned last: most calls are for the same one. */
  #last: AddressSpace | undefined;

  constructor(options: SpaceOptions) {
    this.#options = options;
  }

  find(view: number, root: Pa): AddressSpace | undefined {
    const last = this.#last;
    if (last !== undefined && last.root === root && last.view === view) return last;
    const space = this.#views.get(view)?.get(root);
    if (space !== undefined) this.#last = space;
    return space;
  }

  /** The space, made if there is none. */
  open(view: number, root: Pa): AddressSpace {
    const known = this.find(view, root);
    if (known !== undefined) return known;
    let roots = this.#views.get(view);
    if (roots === undefined) {
      roots = new Map();
      this.#views.set(view, roots);
    }
    const space = new AddressSpace(this.#options, view, root);
    roots.set(root, space);
    return space;
  }

  close(space: AddressSpace): void {
    const roots = this.#views.get(space.view)!;
    roots.delete(space.root);
    if (roots.size === 0) this.#views.delete(space.view);
    if (this.#views.size === 0) this.hasRanges = false;
    this.#last = undefined;
  }

  /** The spaces of a root, in one view or in all: a fresh array. */
  ofRoot(root: Pa, view?: number): AddressSpace[] {
    const views = view === undefined ? [...this.#views.keys()] : [view];
    return views.flatMap((each) => this.#views.get(each)?.get(root) ?? []);
  }

  /** The spaces of one view, or of all, in a fresh array. */
  inView(view?: number): AddressSpace[] {
    if (view !== undefined) return [...(this.#views.get(view)?.values() ?? [])];
    return [...this.#views.values()].flatMap((roots) => [...roots.values()]);
  }
}
