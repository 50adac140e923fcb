/** The address spaces that have watched addresses, by view and root. */
import type { Pa } from '../address/types.ts';
import type { Paging } from '../paging/format.ts';
import { AddressSpace } from './address-space.ts';

export class AddressSpaces {
  readonly #paging: Paging;
  readonly #views = new Map<number, Map<Pa, AddressSpace>>();

  constructor(paging: Paging) {
    this.#paging = paging;
  }

  find(view: number, root: Pa): AddressSpace | undefined {
    return this.#views.get(view)?.get(root);
  }

  /** The space, made if need be. */
  open(view: number, root: Pa): AddressSpace {
    let roots = this.#views.get(view);
    if (roots === undefined) {
      roots = new Map();
      this.#views.set(view, roots);
    }
    let space = roots.get(root);
    if (space === undefined) {
      space = new AddressSpace(this.#paging, view, root);
      roots.set(root, space);
    }
    return space;
  }

  close(space: AddressSpace): void {
    const roots = this.#views.get(space.view)!;
    roots.delete(space.root);
    if (roots.size === 0) this.#views.delete(space.view);
  }

  /** The spaces of one view, or of all, in a list of its own. */
  inView(view?: number): AddressSpace[] {
    if (view !== undefined) return [...(this.#views.get(view)?.values() ?? [])];
    return [...this.#views.values()].flatMap((roots) => [...roots.values()]);
  }
}
